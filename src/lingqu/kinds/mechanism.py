"""Declarations: what a mechanism says of itself, and the registry the planner reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib.metadata import entry_points

from lingqu.kinds.disclosure import Reveals
from lingqu.kinds.errors import BadInput, LingquError


class Adversary(StrEnum):
    SEMI_HONEST = "semi-honest"
    MALICIOUS_ABORT = "malicious-with-abort"

    def withstands(self, other: Adversary) -> bool:
        """Whether a promise against this behaviour holds against the other as well."""
        strength = list(Adversary)  # from the weakest promise to the strongest
        return strength.index(self) >= strength.index(other)

    @classmethod
    def named(cls, text: str) -> Adversary:
        """By its name, or "malicious" for short; BadInput for any other."""
        for adversary in cls:
            if text in (adversary.value, adversary.value.partition("-with-")[0]):
                return adversary
        raise BadInput(f"{text!r} is no behaviour of parties.", f"Known: {', '.join(cls)}; malicious for short.")


@dataclass(frozen=True)
class Threat:
    """adversary: how corrupt parties behave.  parties: how many compute.  corruptions: how many may be corrupt.

    most: where more parties can compute, up to how many; as many of them stay honest as with the fewest.
    """

    adversary: Adversary
    parties: int
    corruptions: int
    assumption: str
    most: int | None = None

    def __str__(self) -> str:
        return f"{self.adversary.value}, {self.corrupt} of {self.count} parties; {self.assumption}"

    @property
    def count(self) -> str:
        """How many compute, in words."""
        return str(self.parties) if self.most is None else f"{self.parties} to {self.most}"

    @property
    def corrupt(self) -> str:
        """How many may be corrupt, in words."""
        return str(self.corruptions) if self.most is None else f"all but {self.parties - self.corruptions}"

    def takes(self, parties: int) -> bool:
        """Whether so many parties can compute."""
        return self.parties <= parties <= (self.most or self.parties)

    def among(self, parties: int) -> Threat:
        """The threat model of a run of so many parties."""
        return replace(self, parties=parties, corruptions=self.corruptions + parties - self.parties, most=None)


@dataclass(frozen=True)
class Cost:
    """rounds: longest chain of messages.  bytes: payload sent by all parties together, framing and TLS apart."""

    rounds: int = 0
    bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.rounds + other.rounds, self.bytes + other.bytes)

    def __mul__(self, times: int) -> Cost:
        """The cost of doing it several times in sequence."""
        return Cost(self.rounds * times, self.bytes * times)

    def beside(self, other: Cost) -> Cost:
        """The cost of doing both in the same rounds."""
        return Cost(max(self.rounds, other.rounds), self.bytes + other.bytes)


Sizes = Mapping[str, int]
"""Public sizes that a cost depends on, by the names the operation documents (rows, columns, bits, ...)."""


@dataclass(frozen=True)
class Operation:
    """One operation: its name, its cost from public sizes, what it reveals, and the paper and section it follows."""

    name: str
    cost: Callable[[Sizes], Cost]
    source: str
    reveals: tuple[Reveals, ...] = ()


@dataclass(frozen=True)
class Declaration:
    """What a mechanism declares of itself; no declaration, no registration.

    ideal: computes in the clear, for tests only; nodes refuse it.  simulated: a part stands in for the real thing.
    preparation: what making the correlations of some work, (operation, sizes, times) each, sends in a fresh session,
    beside the operations' own costs; None where there are none to make.
    aligned_rows: how many rows an alignment ("align") of so many asked rows has; None where it is not offered.
    effort: seconds of one processor core that an operation takes at each party beside its messages, from public sizes;
    None where the messages tell enough for a choice.
    """

    name: str
    title: str
    source: str
    threat: Threat
    operations: Mapping[str, Operation]
    ideal: bool = False
    simulated: bool = False
    preparation: Callable[[Sequence[tuple[str, Sizes, int]]], Cost] | None = None
    aligned_rows: Callable[[int], int] | None = None
    effort: Callable[[str, Sizes], float] | None = None

    def cost(self, operation: str, sizes: Sizes) -> Cost:
        """The declared cost of an operation; LingquError when it is not declared."""
        try:
            return self.operations[operation].cost(sizes)
        except KeyError as missing:
            raise LingquError(
                f"{self.name} declares no {missing.args[0]!r} for {operation!r}.", "Choose another mechanism."
            ) from None


@dataclass
class Registry:
    """Declarations by name, in order of registration."""

    declarations: dict[str, Declaration] = field(default_factory=dict)

    def register(self, declaration: Declaration) -> None:
        """Add a declaration; a second one of the same name is an error."""
        if declaration.name in self.declarations:
            raise LingquError(f"Mechanism {declaration.name} is registered twice.", "Remove one of the two packages.")
        self.declarations[declaration.name] = declaration

    def get(self, name: str) -> Declaration:
        """The declaration of that name; LingquError when there is none."""
        if name not in self.declarations:
            raise LingquError(f"There is no mechanism {name!r}.", f"Known: {', '.join(self.declarations) or 'none'}.")
        return self.declarations[name]

    def candidates(self, operation: str) -> Iterator[Declaration]:
        """Declarations that offer the operation, ideal ones left out."""
        return (d for d in self.declarations.values() if operation in d.operations and not d.ideal)


def installed() -> Registry:
    """A registry of every mechanism that an installed package declares (entry points `lingqu.mechanisms`)."""
    registry = Registry()
    for point in sorted(entry_points(group="lingqu.mechanisms"), key=lambda point: point.name):
        declaration = point.load()
        if not isinstance(declaration, Declaration):
            raise LingquError(f"The entry point {point.name} gives no Declaration.", "Correct or remove that package.")
        registry.register(declaration)
    return registry


def log2_ceil(value: int) -> int:
    """ceil(log2(value)), 0 for values below 2."""
    return (value - 1).bit_length() if value > 1 else 0
