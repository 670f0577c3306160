"""Private set intersection: which keys two parties have in common, disclosed as far as their terms say."""

from lingqu.psi.agreement import Result, Terms
from lingqu.psi.declaration import DECLARATION
from lingqu.psi.ecdh import Intersection, intersect
from lingqu.psi.elements import Elements, elements
from lingqu.psi.forms import FORMS, normalise

__all__ = ["DECLARATION", "FORMS", "Elements", "Intersection", "Result", "Terms", "elements", "intersect", "normalise"]
