"""Private set intersection: which keys two parties have in common, disclosed as far as their terms say."""

from lingqu.psi.agreement import Result, Terms
from lingqu.psi.elements import Elements, elements
from lingqu.psi.files import Outcome, finish_files, intersect_files
from lingqu.psi.forms import FORMS, normalise, require_forms
from lingqu.psi.heard import Intersection
from lingqu.psi.parts import PART
from lingqu.psi.protocols import PROTOCOLS, Choice, Line, choose, intersect
from lingqu.psi.runner import run, run_many
from lingqu.psi.session import Session, join_session, open_session, resume_session
from lingqu.psi.tables import DECLARATION, ECDH_P256, ECDH_SM2, MANY, RR22, RR22_MALICIOUS

__all__ = [
    "DECLARATION",
    "ECDH_P256",
    "ECDH_SM2",
    "FORMS",
    "MANY",
    "PART",
    "PROTOCOLS",
    "RR22",
    "RR22_MALICIOUS",
    "Choice",
    "Elements",
    "Intersection",
    "Line",
    "Outcome",
    "Result",
    "Session",
    "Terms",
    "choose",
    "elements",
    "finish_files",
    "intersect",
    "intersect_files",
    "join_session",
    "normalise",
    "open_session",
    "require_forms",
    "resume_session",
    "run",
    "run_many",
]
