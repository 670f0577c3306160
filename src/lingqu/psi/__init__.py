"""Private set intersection: which keys two parties have in common, disclosed as far as their terms say."""

from lingqu.psi.agreement import Result, Terms
from lingqu.psi.declaration import DECLARATION, RR22
from lingqu.psi.ecdh import Intersection
from lingqu.psi.elements import Elements, elements
from lingqu.psi.forms import FORMS, normalise
from lingqu.psi.protocols import PROTOCOLS, Choice, Line, choose, intersect

__all__ = [
    "DECLARATION",
    "FORMS",
    "PROTOCOLS",
    "RR22",
    "Choice",
    "Elements",
    "Intersection",
    "Line",
    "Result",
    "Terms",
    "choose",
    "elements",
    "intersect",
    "normalise",
]
