"""Three real nodes over tables of a few rows, and how tests ask them for what cannot be."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lingqu.engine.release import Release
from lingqu.kinds.errors import LingquError
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset
from lingqu.node.remote import Remote, expiry
from lingqu.node.replies import ContractView, JobView
from scenarios.census.network import BIG, CIVIL, HUMAN, LINGQU, Network, wait_until

NAMES = (CIVIL, HUMAN, BIG)
PURPOSE = "tests of bad input"
ENDED = ("done", "failed", "refused")
SECRETS = ("zq7secret", "918273645546372")
"""Values that stand in rows of the tests' tables and nowhere else."""


@dataclass
class Tiny:
    """The nodes, where their tables lie, and what must not be found outside of those."""

    net: Network
    tables: Path
    _files: int = field(default=0)

    def file(self, content: str | bytes, ending: str = "csv") -> Path:
        """A new table's file."""
        self._files += 1
        path = self.tables / f"table{self._files}.{ending}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def register(
        self, owner: str, name: str, source: str | bytes | Path, *, key: Sequence[str] = (), **more: Any
    ) -> Asset:
        """Register a table at an owner, and wait until the analyst sees it.  source: a file, or a CSV's content."""
        path = source if isinstance(source, Path) else self.file(source)
        asset = (
            self.net[owner].remote("manager").register(name, str(path), title=more.pop("title", name), key=key, **more)
        )
        wait_until("the analyst sees the table", lambda: any(seen == asset for seen in self.analyst.catalog()))
        return asset

    @property
    def analyst(self) -> Remote:
        """The analyst's connection."""
        return self.net[BIG].remote("analyst")

    def lingqu(self, node: str, *arguments: str) -> tuple[int, Any]:
        """A verb of the command line with --json: exit code, and the document on standard output or error."""
        command = [*LINGQU, *arguments, "--home", str(self.net[node].home), "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        assert not spilled([done.stdout, done.stderr])
        return done.returncode, json.loads(done.stderr if done.returncode else done.stdout)

    def explain(self, text: str, kind: str = "sql", minimum: int = 2) -> Any:
        """The plan of a program at the analyst's node."""
        return self.analyst.plan(Program.model_validate({"kind": kind, "text": text}), minimum)

    def agreed(self, text: str, kind: str = "sql", *, uses: int = 1, minimum: int = 2) -> ContractView:
        """A contract in force at every node."""
        program = Program.model_validate({"kind": kind, "text": text})
        contract = self.analyst.propose(
            program, title="t", purpose=PURPOSE, minimum_group=minimum, uses=uses, expires=expiry("1d")
        )
        for owner in contract.terms.owners:
            if owner != BIG:
                self.net.approve(owner, contract.id)
        for third in {CIVIL, HUMAN} - set(contract.terms.owners):
            self.net.approve(third, contract.id)
        self.net.wait_in_force(contract.id)
        return contract

    def run(self, contract: ContractView) -> JobView:
        """One run to its end."""
        return self.analyst.follow(self.analyst.start(contract.id, PURPOSE).id)

    def answer(self, text: str, kind: str = "sql", minimum: int = 2) -> Release:
        """The result of a program that is agreed and runs."""
        job = self.run(self.agreed(text, kind, minimum=minimum)).checked()
        return self.analyst.result(job.id)

    def failure(self, job: JobView) -> LingquError:
        """The error of a job that did not end well, after every node has ended it."""
        for name in NAMES:
            auditor = self.net[name].remote("auditor")
            wait_until(
                f"{name} has ended the job",
                lambda remote=auditor: all(view.state in ENDED for view in remote.jobs() if view.id == job.id),
            )
        return failed(job.checked)

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Every file that the nodes keep, and every entry of their ledgers."""
        for name in NAMES:
            for path in self.net[name].home.rglob("*"):
                if path.is_file():
                    yield str(path), path.read_bytes()
            yield f"the ledger of {name}", json.dumps(self.net[name].remote("auditor").ledger()).encode()
            yield f"the catalogue of {name}", repr(self.net[name].remote("auditor").catalog()).encode()


def spilled(texts: Iterable[str]) -> list[str]:
    """The planted values that stand in some texts."""
    return [secret for secret in SECRETS for text in texts if secret in text]


def failed(call: Callable[[], object], code: str | None = None) -> LingquError:
    """The error that a call ends in: with a cause, a cure, and no value of a row."""
    with pytest.raises(LingquError) as caught:
        call()
    error = caught.value
    assert error.cause
    assert error.cure
    assert not spilled([str(error)])
    if code is not None:
        assert error.code == code, error
    return error


@contextmanager
def tiny(root: Path, prepare: Callable[[Network], None] = lambda net: None) -> Iterator[Tiny]:
    """Three paired nodes without tables.  prepare: called before they start."""
    net = Network(root / "nodes")
    (root / "tables").mkdir()
    net.initialise()
    try:
        prepare(net)
        net.start()
        net.pair_all()
        yield Tiny(net, root / "tables")
    finally:
        net.stop()
