"""MaliciousRep3: the Machine of three parties with replicated shares, which stops when one of them deviates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from lingqu.kinds.channel import Channel
from lingqu.kinds.errors import BadInput
from lingqu.share import checks
from lingqu.share.api import FRACTION_BITS, Shared, SharedBits, Words
from lingqu.share.lookups import Found, Kept, Lookup
from lingqu.share.rep3 import circuits as any_circuits
from lingqu.share.rep3 import rows
from lingqu.share.rep3.hops import Orders
from lingqu.share.rep3.machine import Rep3, by_rows_or_columns, integers_of, stack_of
from lingqu.share.rep3.malicious import arithmetic, moves, session
from lingqu.share.rep3.malicious.session import STEP, Checked
from lingqu.share.rep3.session import Group, Parts, flat_pair
from lingqu.share.tables import Table


@dataclass(frozen=True)
class CheckedSteps:
    """Sorting's steps with every message recorded."""

    session: Checked
    step: int = STEP
    last: int = moves.HOPS[-1]

    def integers(self, bits: Parts) -> Parts:
        """As Steps.integers."""
        return arithmetic.words_as_integers(self.session, bits, 1)

    def conjunction(self, x: Parts, y: Parts) -> Parts:
        """As Steps.conjunction."""
        return any_circuits.conjunction_words(self.session, x, y, 1)

    def sum_of_products(self, x: Parts, y: Parts, terms: int) -> Parts:
        """As Steps.sum_of_products."""
        return self.session.sum_of_products(x, y, terms)

    def move(
        self, orders: Orders, tables: Iterable[Table], opened: int = 0, inverse: bool = False
    ) -> list[Table | Words]:
        """As Steps.move."""
        return moves.move(self.session, orders, tables, opened, inverse)

    def shuffled(self, orders: Orders, keys: list[rows.Key]) -> Words:
        """As Steps.shuffled."""
        return moves.shuffled(self.session, orders, keys)


class MaliciousRep3(Rep3):
    """One party's machine of share.rep3.malicious; see Machine for every method, DECLARATION for costs.

    A deviation that would change a result ends the session before anything is opened: reveal* raises ProtocolViolation
    (or PartyLost, when the other honest party found it first and left), and so does every later method that sends.
    """

    def __init__(self, session: Checked) -> None:
        super().__init__(session)
        self._checked = session
        self._steps = CheckedSteps(session)

    def settle(self) -> None:
        """Prove and verify all messages so far; reveal* does so by itself."""
        self._checked.settle()

    def agree(self, peer: int, data: bytes | memoryview) -> None:
        """Go on only if that party holds the same bytes: 1 round, a digest each way.  ProtocolViolation ends it all."""
        self._checked.agree(peer, data)

    def _open(self, x: Shared | SharedBits, to: int | None, group: Group, width: int) -> Words | None:
        if to not in (None, 0, 1, 2):
            raise BadInput(f"Party {to} computes nothing here.", "Reveal to one of the parties 0 to 2, or to all.")
        words = self._checked.open(flat_pair(x.parts), to, group, width)
        return None if words is None else words.reshape(x.shape)

    # Arithmetic

    def multiply(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply."""
        shape = np.broadcast_shapes(x.shape, y.shape)
        return integers_of(self._checked.multiply(flat_pair(x.parts, shape), flat_pair(y.parts, shape)), shape)

    def multiply_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.multiply_real."""
        return self.truncate(self.multiply(x, y), FRACTION_BITS)

    def matmul(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul."""
        lead, sizes = checks.stack_sizes(x.shape, y.shape)
        pairs = [
            (*by_rows_or_columns(a), flat_pair(b.parts))
            for a, b in zip(stack_of(x, lead), stack_of(y, lead), strict=True)
        ]
        return integers_of(self._checked.matmul(pairs, sizes), (*lead, sizes[0], sizes[2]))

    def matmul_real(self, x: Shared, y: Shared) -> Shared:
        """As Machine.matmul_real."""
        return self.truncate(self.matmul(x, y), FRACTION_BITS)

    def truncate(self, x: Shared, bits: int) -> Shared:
        """As Machine.truncate."""
        return integers_of(arithmetic.truncate(self._checked, flat_pair(x.parts), checks.shift(bits)), x.shape)

    def to_shared(self, x: SharedBits) -> Shared:
        """As Machine.to_shared."""
        return integers_of(arithmetic.words_as_integers(self._checked, flat_pair(x.parts), x.width), x.shape)

    def weigh(self, bits: SharedBits, weights: NDArray[np.int64]) -> Shared:
        """As Machine.weigh."""
        shape = len(checks.weights(bits, weights)), *bits.shape[1:]
        count = prod(bits.shape[1:])
        return integers_of(arithmetic.weigh(self._checked, flat_pair(bits.parts), weights, count), shape)

    def _steered(self, bit: SharedBits, x: Shared) -> Shared:
        return self.multiply(self.inject(bit), x)

    # Lookups

    def look_up(self, sizes: Lookup, asked: Words | None, kept: Kept | None) -> Found:
        """Refused: nothing proves the store and the tags that the owners send."""
        raise BadInput("share.rep3.malicious offers no lookups of an owner's keys.", "Join by sorting.")


def connect(channel: Channel) -> MaliciousRep3:
    """A machine over a channel of three parties, with fresh pairwise keys: 1 round, 48 bytes in all."""
    return MaliciousRep3(session.connect(channel))
