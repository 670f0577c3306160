"""What every operation sends: the protocols' message patterns with public sizes, counted without running them.

A party's depth is the longest chain of messages that ends at it, so operations that overlap in time are counted as
they overlap on a channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lingqu._core import okvs_columns
from lingqu.kinds.mechanism import Cost
from lingqu.share.api import FRACTION_BITS
from lingqu.share.lookups import SEED_BYTES, Lookup
from lingqu.share.outline import WORD, packed
from lingqu.share.ranking import layout, stages
from lingqu.share.rep3.circuits import chunks, network, sized_chunks
from lingqu.share.rep3.lookup import helper_of
from lingqu.share.rep3.ranking import by_digits
from lingqu.share.rep3.rows import DIGIT_BITS, STEP
from lingqu.share.rep3.turns import Turns
from lingqu.share.tables import binary_bytes


def _chunks(count: int) -> list[int]:
    return [rows.stop - rows.start for rows in chunks(count)]


def _sized_chunks(count: int, bits: int) -> list[int]:
    return [rows.stop - rows.start for rows in sized_chunks(count, bits)]


class Tally:
    """Counts messages of one run, operation after operation."""

    steers = False

    def __init__(self) -> None:
        self._depth = [0, 0, 0]
        self._bytes = 0
        self._first = 0
        self._turns = Turns()

    @property
    def cost(self) -> Cost:
        """What has been counted."""
        return Cost(max(self._depth), self._bytes)

    def wave(self, *messages: tuple[int, int, int]) -> None:
        """Messages (sender, receiver, bytes) that are all sent before any is received."""
        self._heard(self._said(*messages))

    def _said(self, *messages: tuple[int, int, int]) -> list[tuple[int, int]]:
        """Messages that are sent: their receivers, and the depth that each will have."""
        self._bytes += sum(size for _, _, size in messages)
        return [((to + self._first) % 3, self._depth[(sender + self._first) % 3] + 1) for sender, to, _ in messages]

    def _heard(self, arrivals: list[tuple[int, int]]) -> None:
        for to, depth in arrivals:
            self._depth[to] = max(self._depth[to], depth)

    def _divided(self, count: int, more: int, lead: Callable[[int], int], back: Callable[[int], int]) -> None:
        """Session.divided: in every part 0 tells 1 so many bytes by rows, and 1 and 2 tell each other."""
        first, second, third = [], [], []
        parts = [(seat, rows.stop - rows.start) for seat, rows in self._turns.divide(count, more)]
        for seat, rows in parts:
            first += self._said((seat, seat + 1, lead(rows)))
            third += self._said((seat + 2, seat + 1, back(rows)))
        self._heard(first)
        for seat, rows in parts:
            second += self._said((seat + 1, seat + 2, back(rows)))
        self._heard(second + third)

    @contextmanager
    def turned(self, more: int) -> Iterator[None]:
        """Session.turned, for the messages of one operation."""
        self._first = self._turns.take(more)
        yield
        self._first = 0

    def give(self, size: int, owner: int = 0) -> None:
        """Session.give."""
        self.wave((owner, owner + 1, size))

    def enter(self, size: int) -> None:
        """An owner that does not compute shares: one component goes to its two holders."""
        start = max(self._depth)
        self._depth = [max(depth, start + 1) for depth in self._depth]
        self._bytes += 2 * size

    def leave(self, size: int) -> None:
        """Opening to a recipient that does not compute: a message from each."""
        self._depth = [depth + 1 for depth in self._depth]
        self._bytes += 3 * size

    def reshare(self, size: int) -> None:
        """Session.reshare."""
        self.wave(*((party, party - 1, size) for party in range(3)))

    def join_pair(self, size: int) -> None:
        """Session.join_pair of parties 1 and 2."""
        self.wave((1, 2, size), (2, 1, size))

    def reveal(self, size: int, recipients: int) -> None:
        """Opening to one party or to all."""
        self.wave(*((party, party + 1, size) for party in range(3 if recipients > 1 else 1)))

    def multiply(self, count: int) -> None:
        """Machine.multiply, and every product that is reshared once."""
        self.reshare(WORD * count)

    def matmul(self, rows: int, inner: int, columns: int, stack: int = 1) -> None:
        """Machine.matmul: only the product is reshared."""
        self.multiply(stack * rows * columns)

    def truncate(self, count: int, bits: int) -> None:
        """Machine.truncate."""
        self._divided(count, 1, lambda rows: WORD * (rows + packed(rows, bits)), lambda rows: WORD * packed(rows, bits))

    def multiply_real(self, count: int) -> None:
        """Machine.multiply_real: truncated before it is reshared."""
        with self.turned(0):
            self._truncate(count, FRACTION_BITS, (1, 2, WORD * count), (2, 1, WORD * count))

    def matmul_real(self, rows: int, inner: int, columns: int) -> None:
        """Machine.matmul_real: only the product is truncated and reshared."""
        self.multiply_real(rows * columns)

    def _truncate(self, count: int, bits: int, *exchange: tuple[int, int, int]) -> None:
        size = WORD * packed(count, bits)
        self.wave((0, 1, WORD * count + size), *exchange)
        self.wave((1, 2, size), (2, 1, size))

    def integers(self, count: int, width: int = 1) -> None:
        """Words as integers; width 1 is the injection of a bit."""
        with self.turned(count * (width - 1)):
            self.give(WORD * count * width)
            self.join_pair(WORD * count)

    def conjunction(self, words: int) -> None:
        """circuits.conjunction of dense words."""
        self.reshare(WORD * words)

    def bits_and(self, count: int, width: int = 1, beside: int = 1) -> None:
        """Machine.logical_and of words of a width."""
        self.conjunction(packed(count, width))

    def all_ones(self, count: int, planes: int) -> None:
        """circuits.equal_words on differences of that many bits together."""
        for rows in _chunks(count):
            self._all_ones(rows, planes)

    def _all_ones(self, count: int, planes: int) -> None:
        while planes > 1:
            self.conjunction(planes // 2 * packed(count))
            planes -= planes // 2

    def summed(self, count: int, bits: int = 64) -> None:
        """Session.summed."""
        self.give(WORD * packed(count, bits))

    def is_zero(self, count: int) -> None:
        """Machine.equal."""
        for rows in _chunks(count):
            with self.turned(rows):
                self.summed(rows)
                self._all_ones(rows, 64)

    def less_than(self, count: int, bits: int = 64) -> None:
        """Machine.less_than."""
        for rows in _chunks(count):
            with self.turned(rows * bits // 64):
                self.summed(rows, bits)
                self._choices(rows, bits)

    def _choices(self, rows: int, nodes: int, left: int = 1) -> None:
        """circuits.Choices.combined until so many nodes are left."""
        while nodes > left:
            pairs = nodes - (1 << ((nodes - 1).bit_length() - 1))
            self.conjunction((2 * pairs - 1) * packed(rows))
            nodes -= pairs

    def to_bits(self, count: int, bits: int = 64, low: int = 0) -> None:
        """Machine.to_bits."""
        for rows in _sized_chunks(count, bits):
            with self.turned(rows * bits // 64):
                self.summed(rows, bits)
                for choices, unions in network(bits, low):
                    self.conjunction((len(choices) + len(unions)) * packed(rows))

    def select(self, flags: int, count: int) -> None:
        """Machine.select by bits."""
        if flags == count:
            self._divided(count, 1, lambda rows: 2 * WORD * rows, lambda rows: WORD * rows)
            return
        with self.turned(flags):
            self.wave((0, 1, WORD * flags), (0, 1, WORD * count))
            self.join_pair(WORD * count)

    def weigh(self, count: int, bits: int, sums: Sequence[int]) -> None:
        """Machine.weigh."""
        many = len(sums)
        self._divided(count, bits - many, lambda rows: WORD * rows * bits, lambda rows: WORD * rows * many)

    def hops(self, shared: Sequence[int], opened: Sequence[int] = (), inverse: bool = False) -> None:
        """rows.Hops.run on tables of these bytes a component."""
        lead = 2 if inverse else 0
        other = 2 - lead
        sizes = [*opened, *shared]
        self.wave(*((lead, 1, size) for size in sizes), *((1, other, size) for size in sizes))
        exchange = [pair for size in sizes for pair in ((1, other, size), (other, 1, size))]
        self.wave(*exchange, *((party, lead, size) for size in opened for party in (1, other)))

    def digit_order(self, rows: int, width: int) -> None:
        """rows.digit_order."""
        if width > 1:
            self.bits_and(rows)
        self.integers(rows * (2**width - 1))
        self.multiply(rows)

    def compare(self, count: int, bits: int) -> None:
        """ranking.compare."""
        pairs = bits // 2
        for rows in _sized_chunks(count, bits):
            self.conjunction((2 * pairs - 1) * packed(rows))
            self._choices(rows, bits - pairs, 2)
            self._show(packed(rows))

    def _show(self, words: int) -> None:
        """Session.show_choices."""
        self.wave(*((party, party + step, WORD * words) for party in range(3) for step in (1, 2)))

    def rank(self, rows: int, bits: int) -> None:
        """ranking.sort."""
        total = layout(rows, bits)[2]
        self.hops([WORD * packed(rows, total)])
        for stage in stages(rows, STEP):
            for count in stage.comparisons:
                if count:
                    self.compare(count, total)

    def sort(self, rows: int, bits: int) -> bool:
        """Machine.sort by keys of `bits` bits together; whether columns follow its order at the cost of a shuffle."""
        if rows < 2:
            return False
        if not by_digits(rows, bits):
            self.rank(rows, bits)
            return True
        for start in range(0, bits, DIGIT_BITS):
            width = min(DIGIT_BITS, bits - start)
            if start:
                self.hops([WORD * packed(rows, width)], [WORD * rows])
            self.digit_order(rows, width)
            if start:
                self.hops([WORD * rows], inverse=True)
        return False

    def slots(self, asked: int) -> int:
        """Machine.slots."""
        return asked

    def look_up(self, sizes: Lookup) -> None:
        """Machine.look_up: the store and the tags; the pieces; the checks compared with zero; what is no hit zeroed."""
        asker, keeper, helper = sizes.asker, sizes.keeper, helper_of(sizes)
        store = SEED_BYTES + WORD * sizes.width * okvs_columns(sizes.kept)
        self.wave((keeper, helper, store), (asker, helper, 2 * WORD * sizes.asked))
        each = sum(WORD * packed((p.stop - p.start) * sizes.asked, p.width) for p in sizes.pieces)
        self.wave((asker, helper, each), (helper, asker, each))
        self.all_ones(sizes.asked, sum(sizes.check_widths))
        self.integers(sizes.asked)
        if sizes.columns:
            self.multiply(sizes.asked * sizes.columns)
        if sizes.dense:
            self.bits_and(sizes.asked * sizes.dense, sizes.dense_width)

    def _tables(self, rows: int, columns: int, widths: Sequence[int]) -> list[int]:
        return [WORD * rows * columns] * (columns > 0) + [binary_bytes(rows, widths)] * bool(widths)

    def shuffle(self, rows: int, columns: int, widths: Sequence[int] = ()) -> None:
        """Machine.shuffle."""
        self.hops(self._tables(rows, columns, widths))

    def unshuffle(self, rows: int, columns: int, widths: Sequence[int] = ()) -> None:
        """A shuffle undone."""
        self.hops(self._tables(rows, columns, widths), inverse=True)

    def apply(self, rows: int, columns: int, widths: Sequence[int] = ()) -> None:
        """Machine.apply."""
        self.hops(self._tables(rows, columns, widths), [WORD * rows])

    def unapply(self, rows: int, columns: int, widths: Sequence[int] = ()) -> None:
        """Machine.unapply."""
        self.hops([], [WORD * rows])
        self.hops(self._tables(rows, columns, widths), inverse=True)
