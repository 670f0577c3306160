"""What parties agree on, and the decision that every node takes on its own before it computes."""

from lingqu.contract.decision import Request, State, check_bindings, decide, signatories, state
from lingqu.contract.reading import render
from lingqu.contract.terms import Approval, Proposal, Rejection, Revocation, Terms

__all__ = [
    "Approval",
    "Proposal",
    "Rejection",
    "Request",
    "Revocation",
    "State",
    "Terms",
    "check_bindings",
    "decide",
    "render",
    "signatories",
    "state",
]
