"""Intersection of unbalanced sets: a few elements against very many, which are published once as tags."""

from lingqu.psi.unbalanced.declaration import DECLARATION
from lingqu.psi.unbalanced.holder import Holder
from lingqu.psi.unbalanced.published import Published
from lingqu.psi.unbalanced.runner import run
from lingqu.psi.unbalanced.session import Asked, intersect, serve
from lingqu.psi.unbalanced.terms import UnbalancedTerms

__all__ = ["DECLARATION", "Asked", "Holder", "Published", "UnbalancedTerms", "intersect", "run", "serve"]
