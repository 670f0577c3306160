"""What every operation sends, and which correlations it takes, from public sizes without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from lingqu._core import cuckoo_bins
from lingqu.kinds.channel import Tag
from lingqu.kinds.mechanism import Cost
from lingqu.share.api import FRACTION_BITS
from lingqu.share.lookups import Lookup
from lingqu.share.outline import WORD, packed
from lingqu.share.ranking import layout, stages
from lingqu.share.tables import layout_of
from lingqu.share.two.circuits import CARRY_BITS, halves, levels
from lingqu.share.two.lookup import messages
from lingqu.share.two.needs import (
    CHOICES,
    DIGIT,
    TRIPLES,
    Demand,
    Move,
    lookups,
    matrices,
    orders,
    scaled,
    strings,
)
from lingqu.share.two.ranking import STEP, by_digits, moves, parts
from lingqu.share.two.rows import DIGIT_BITS, INTEGERS, pass_moves, values_of


class TwoTally:
    """Counts messages of one run, operation after operation; demand: the correlations that it takes."""

    steers = True

    def __init__(self) -> None:
        self._depth = [0, 0]
        self._bytes = 0
        self.demand: Demand = Counter()

    @property
    def cost(self) -> Cost:
        """What has been counted, correlations apart."""
        return Cost(max(self._depth), self._bytes)

    def wave(self, *messages: tuple[int, int]) -> None:
        """Messages (sender, bytes) that are all sent before any is received."""
        arrivals = [(1 - sender, self._depth[sender] + 1) for sender, _ in messages]
        for to, depth in arrivals:
            self._depth[to] = max(self._depth[to], depth)
        self._bytes += sum(size for _, size in messages)

    def exchange(self, size: int) -> None:
        """Both send as much."""
        self.wave((0, size), (1, size))

    def give(self, size: int, owner: int = 0) -> None:
        """Shares of inputs are drawn: nothing is sent."""

    def reveal(self, size: int, recipients: int) -> None:
        """Opening to one party or to both."""
        self.wave(*((party, size) for party in range(2 if recipients > 1 else 1)))

    def enter(self, size: int) -> None:
        """An owner that does not compute shares: party 1 is sent its share."""
        self._depth = [depth + 1 for depth in self._depth]
        self._bytes += size

    def leave(self, size: int) -> None:
        """Opening to a recipient that does not compute: a message from each."""
        self._depth = [depth + 1 for depth in self._depth]
        self._bytes += 2 * size

    def multiply(self, count: int) -> None:
        """arithmetic.multiply."""
        self.demand[TRIPLES] += count
        self.exchange(2 * WORD * count)

    def multiply_real(self, count: int) -> None:
        """Machine.multiply_real."""
        self.multiply(count)
        self.truncate(count)

    def matmul(self, rows: int, inner: int, columns: int, stack: int = 1) -> None:
        """arithmetic.matmul."""
        if not stack:
            return
        self.demand[matrices(rows, inner, columns)] += stack
        self.exchange(WORD * stack * (rows * inner + inner * columns))

    def matmul_real(self, rows: int, inner: int, columns: int) -> None:
        """Machine.matmul_real."""
        self.matmul(rows, inner, columns)
        self.truncate(rows * columns)

    def bit_products(self, givers: Sequence[int], count: int, width: int = 64) -> None:
        """arithmetic.bit_products."""
        for giver in givers:
            self.demand[scaled(giver)] += count
        self.wave(
            *((giver, WORD * packed(count, width)) for giver in givers),
            *((1 - giver, WORD * packed(count)) for giver in givers),
        )

    def choose(self, count: int) -> None:
        """arithmetic.choose."""
        self.bit_products((0, 1), count)

    def select(self, flags: int, count: int) -> None:
        """Machine.select by bits, repeated to the elements."""
        self.choose(count)

    def truncate(self, count: int, bits: int = FRACTION_BITS) -> None:
        """arithmetic.truncate."""
        self.bit_products((0,), count, bits)

    def integers(self, count: int, width: int = 1) -> None:
        """arithmetic.words_as_integers."""
        self.bit_products((0,), count * width)

    def weigh(self, count: int, bits: int, sums: Sequence[int]) -> None:
        """Machine.weigh: every bit as an integer."""
        self.integers(count * bits)

    def lookup(self, lanes: int, bits: int) -> None:
        """circuits.lookup."""
        each = halves(lanes)
        for giver, size in enumerate(each):
            self.demand[lookups(giver, bits)] += size
        self.wave((0, WORD * DIGIT * each[1]), (1, WORD * DIGIT * each[0]))
        self.wave(*((giver, WORD * CHOICES * bits * size) for giver, size in enumerate(each)))

    def products(self, pairs: Sequence[tuple[int, int]], lanes: int) -> None:
        """circuits.products of (flags, width of their strings)."""
        for count, width in pairs:
            self.demand[strings(width)] += count * lanes
        self.exchange(sum(WORD * (1 + width) * count * lanes for count, width in pairs))

    def conjunction(self, words: int) -> None:
        """circuits.conjunction of dense words."""
        self.products([(1, 1)], words)

    def bits_and(self, count: int, width: int = 1, beside: int = 1) -> None:
        """Machine.logical_and of words of a width."""
        self.products([(1, beside)], packed(count // beside, width))

    def all_ones(self, count: int, planes: int) -> None:
        """circuits.all_same."""
        while True:
            planes = -(-planes // DIGIT)
            self.lookup(planes * packed(count), 1)
            if planes == 1:
                return

    def is_zero(self, count: int) -> None:
        """circuits.is_zero."""
        self.all_ones(count, 64)

    def less_than(self, count: int, bits: int = 64) -> None:
        """circuits.sign."""
        lanes, digits = packed(count), -(-(bits - 1) // DIGIT)
        self.lookup(digits * lanes, 2)
        while digits > 1:
            self.products([(digits // 2, 2 if digits > 2 else 1)], lanes)
            digits -= digits // 2

    def to_bits(self, count: int, bits: int = 64, low: int = 0) -> None:
        """circuits.to_bits."""
        lanes, digits = packed(count), -(-bits // DIGIT)
        self.lookup(digits * lanes, CARRY_BITS)
        for to, _, later in levels(digits - 1):
            pairs = [(later, 2), (len(to) - later, 1)]
            self.products([pair for pair in pairs if pair[0]], lanes)
        if digits > 1:
            self.products([(digits - 1, 3)], lanes)

    def slots(self, asked: int) -> int:
        """Machine.slots."""
        return cuckoo_bins(asked)

    def look_up(self, sizes: Lookup) -> None:
        """Machine.look_up: its own messages; the checks compared with zero; what is no hit zeroed."""
        for message in messages(sizes):
            self.wave(message)
        slots = self.slots(sizes.asked)
        self.all_ones(slots, sum(sizes.check_widths))
        self.integers(slots)
        if sizes.columns:
            self.select(slots, slots * sizes.columns)
        if sizes.dense:
            self.bits_and(slots * sizes.dense, sizes.dense_width)

    # Rows

    def _draw(self, rows: int, moves: Sequence[Move]) -> None:
        for holder in (0, 1):
            self.demand[orders(holder, rows, moves)] += 1

    def _run(self, rows: int, moves: Sequence[Move], inverse: bool = False) -> None:
        """rows.Hidden.run of tables that move so."""
        size = sum(WORD * packed(rows * move.columns, move.width) for move in moves)
        for holder in (1, 0) if inverse else (0, 1):
            self.wave((1 - holder, size))

    def digit_order(self, rows: int, width: int) -> None:
        """rows.digit_order."""
        values = values_of(width)
        if width > 1:
            self.lookup(packed(rows), values)
        self.integers(values * rows)
        self.choose(values * rows)

    def compare(self, count: int, bits: int) -> None:
        """ranking.compare."""
        for part in parts(count):
            lanes, nodes = packed(part.stop - part.start), bits
            while nodes > 1:
                self.products([(nodes // 2, 1 if nodes == 2 else 2)], lanes)
                nodes -= nodes // 2
            self.exchange(WORD * lanes)

    def rank(self, rows: int, bits: int) -> None:
        """ranking.sort."""
        every = moves(rows, bits)
        self._draw(rows, every)
        self._run(rows, every[:1])
        for stage in stages(rows, STEP):
            for count in stage.comparisons:
                self.compare(count, layout(rows, bits)[2])
        self._run(rows, every[1:], inverse=True)

    def sort(self, rows: int, bits: int) -> bool:
        """Machine.sort by keys of `bits` bits together; whether columns follow its order at the cost of a shuffle."""
        if rows < 2:
            return False
        if not by_digits(bits):
            self.rank(rows, bits)
            return False
        for start in range(0, bits, DIGIT_BITS):
            width = min(DIGIT_BITS, bits - start)
            if start:
                moves = pass_moves(width)
                self._draw(rows, moves)
                self._run(rows, moves[:2])
                self.exchange(WORD * rows)
            self.digit_order(rows, width)
            if start:
                self._run(rows, moves[2:], inverse=True)
        return False

    def _moves(self, integers: int, widths: Sequence[int], inverse: bool = False) -> list[Move]:
        return [Move(Tag(tag), columns, width, inverse) for tag, columns, width in layout_of(integers, widths)]

    def shuffle(self, rows: int, integers: int, widths: Sequence[int] = ()) -> None:
        """Machine.shuffle."""
        moves = self._moves(integers, widths)
        self._draw(rows, moves)
        self._run(rows, moves)

    def apply(self, rows: int, integers: int, widths: Sequence[int] = ()) -> None:
        """Machine.apply."""
        moves = [INTEGERS, *self._moves(integers, widths)]
        self._draw(rows, moves)
        self._run(rows, moves)
        self.exchange(WORD * rows)

    def unapply(self, rows: int, integers: int, widths: Sequence[int] = ()) -> None:
        """Machine.unapply."""
        moves = [INTEGERS, *self._moves(integers, widths, inverse=True)]
        self._draw(rows, moves)
        self._run(rows, moves[:1])
        self.exchange(WORD * rows)
        self._run(rows, moves[1:], inverse=True)
