"""What turns a program into a plan, and what runs the plan's steps: the two sides of a frontend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol

from lingqu.kinds.errors import BadInput
from lingqu.kinds.mechanism import Declaration
from lingqu.kinds.parties import PartyName
from lingqu.kinds.programs import Program, Value
from lingqu.kinds.schema import Asset
from lingqu.plan.choose import whole
from lingqu.plan.plan import Plan, Setting, Step


@dataclass(frozen=True)
class Context:
    """What an operator may know of the run besides its inputs.

    plan: the signed plan.  job: the job's id, fresh for every run (salt of hashed keys).
    party: this party's name; None in the plain twin, which is all parties at once.
    bindings: the values of the program's parameters, already checked against their limits.
    """

    plan: Plan
    job: str
    party: PartyName | None
    bindings: Mapping[str, Value]


@dataclass(frozen=True)
class Sealed:
    """Values under shares that wait for release: what the step before "release" returns.

    values: integer or fixed-point shares by name, each of shape (rows, ...).
    fractions: fixed-point fraction bits by name; 0 or missing means integers.
    count: shares of the number of table rows behind each row of values, shape (rows,).  Rows whose count is below the
    plan's minimum group are zeroed under the protocol and never opened.
    valid: 0/1 shares, shape (rows,): rows that exist and pass further conditions; None when all do.
    guards: name of a value → shares of the number of rows behind that very value (its non-null arguments): the value is
    opened only where that count, too, reaches the minimum; the count itself is not opened.
    A model is one row: coefficients of shape (1, d), count of shape (1,).
    """

    values: Mapping[str, Any]
    count: Any
    valid: Any = None
    fractions: Mapping[str, int] = field(default_factory=dict)
    guards: Mapping[str, Any] = field(default_factory=dict)


OperatorFn = Callable[[Any, Step, Sequence[Any], Context], Any]
"""(machine, step, results of the step's inputs in order, context) → result.  The machine is a `share.api.Machine`."""


class Frontend(Protocol):
    """A program kind: SQL, training.  Found through the entry points `lingqu.frontends`, named as Program.kind."""

    @property
    def operators(self) -> Mapping[str, OperatorFn]:
        """What runs this frontend's steps on shares; "scan", "input" and "release" belong to the engine.

        None where a mechanism that carries these programs runs the steps itself (`lingqu.runners`).
        """

    def carries(self, declaration: Declaration) -> bool:
        """Whether a mechanism can carry programs of this kind at all; a plan chooses among those."""

    def parties(self, program: Program, assets: Mapping[str, Asset], asker: PartyName) -> tuple[PartyName, ...] | None:
        """Who must compute a program, in order, where the program itself says so; None: the asker chooses."""

    def compile(self, program: Program, assets: Mapping[str, Asset], setting: Setting) -> Plan:
        """The plan of a program over assets by id; BadInput, Refused or RangeError say what does not fit, and where."""


class OnShares:
    """What frontends have in common whose programs run on shares."""

    def carries(self, declaration: Declaration) -> bool:
        """Mechanisms that take values in and give them out."""
        return whole(declaration)

    def parties(self, program: Program, assets: Mapping[str, Asset], asker: PartyName) -> tuple[PartyName, ...] | None:
        """Whoever the asker names computes."""
        return None


def frontend(kind: str) -> Frontend:
    """The installed frontend of a program kind (entry points `lingqu.frontends`); BadInput when there is none."""
    points = entry_points(group="lingqu.frontends")
    found = next((point for point in points if point.name == kind), None)
    if found is None:
        known = ", ".join(sorted({point.name for point in points}))
        raise BadInput(f"There are no programs of kind {kind!r}.", f"Kinds are {known}.")
    loaded: Frontend = found.load()
    return loaded
