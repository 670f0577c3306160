"""A dishonest analyst's node: it checks nothing itself, and asks the owners for what the contract does not allow.

`python -m scenarios.census.modified_node --home DIR` starts it in place of `lingqu serve`. For a contract with uses
left it sends a plan that would release groups of two people; for one that is used up it asks for one more run.
It exists to show that the owners' nodes refuse on their own.
"""

from __future__ import annotations

import argparse
from typing import Any

from lingqu.cli import main
from lingqu.node.contracts import Contracts
from lingqu.node.messages import JobOffer

SMALLEST = 2


def modify() -> None:
    """Take the checks out of this process's node, and alter the offers that it signs."""
    honest_offer, honest_recompile = Contracts.offer, Contracts.recompile

    def offer(self: Contracts, *arguments: Any) -> JobOffer:
        honest = honest_offer(self, *arguments)
        standing = self.standing(honest.contract)
        if standing.spent >= standing.terms.uses:
            return honest
        plan = honest_recompile(self, standing.terms.model_copy(update={"minimum_group": SMALLEST}))
        return honest.model_copy(update={"plan": plan.sha256(), "statement": plan.statement.sha256()})

    def admit(self: Contracts, _: Any, offered: JobOffer, __: str) -> tuple[Any, Any]:
        terms = self.standing(offered.contract).terms
        return terms, honest_recompile(self, terms)

    Contracts.offer = offer  # type: ignore[method-assign,assignment]
    Contracts.admit = admit  # type: ignore[method-assign,assignment]
    Contracts.recheck = lambda *_: None  # type: ignore[method-assign]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", required=True)
    options = parser.parse_args()
    modify()
    raise SystemExit(main(["serve", "--home", options.home]))
