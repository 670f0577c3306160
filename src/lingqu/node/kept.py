"""What runs leave in a node's home for later ones: a folder a contract, which goes with the contract."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from lingqu.contract import State
from lingqu.node.config import Home
from lingqu.node.contracts import Contracts, Standing
from lingqu.node.errors import NotFound


class Kept:
    """The folders of a home, by their contracts."""

    def __init__(self, home: Home, contracts: Contracts) -> None:
        self._home = home
        self._contracts = contracts

    def drop(self, contract: str) -> None:
        """Remove a contract's folder."""
        shutil.rmtree(self._home.kept_of(contract), ignore_errors=True)

    def forget(self) -> None:
        """Remove the folders of contracts that can have no run any more."""
        for folder in self._home.kept.glob("*"):
            standing = self._standing(folder)
            if standing is None or standing.state is not State.IN_FORCE:
                shutil.rmtree(folder, ignore_errors=True)

    def earlier(self, contract: str) -> Path | None:
        """The folder of the latest other contract over the same program between the same parties, or None.

        Its last use may be spent; one that was revoked or has expired gives nothing on.
        """
        terms = self._contracts.standing(contract).terms
        asked = (terms.program, terms.names, terms.recipients)
        found = []
        for folder in self._home.kept.glob("*"):
            standing = self._standing(folder) if folder != self._home.kept_of(contract) else None
            if standing is None or standing.state not in (State.IN_FORCE, State.USED_UP):
                continue
            if (standing.terms.program, standing.terms.names, standing.terms.recipients) == asked:
                with contextlib.suppress(FileNotFoundError):  # revoked just now
                    found.append((folder.stat().st_mtime_ns, folder))
        return max(found)[1] if found else None

    def _standing(self, folder: Path) -> Standing | None:
        try:
            return self._contracts.standing(f"sha256:{folder.name}")
        except NotFound:
            return None
