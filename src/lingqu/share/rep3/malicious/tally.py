"""What every operation sends in the malicious mode, with the proofs that opening its result needs.

The counts of what waits for its proof follow the session's, so a proof that comes in the middle is counted there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

from lingqu.kinds.mechanism import Cost
from lingqu.share.api import FRACTION_BITS
from lingqu.share.outline import WORD, packed
from lingqu.share.places import places_of
from lingqu.share.ranking import layout, stages
from lingqu.share.rep3 import tally as unchecked
from lingqu.share.rep3.malicious import session
from lingqu.share.rep3.malicious.arithmetic import chunk_rows
from lingqu.share.rep3.malicious.bits import DIGEST_BYTES
from lingqu.share.rep3.malicious.moves import HOPS
from lingqu.share.rep3.malicious.ring import count_check, matmul_lengths, product_lengths
from lingqu.share.rep3.malicious.ring_argument import SEED_BYTES
from lingqu.share.rep3.malicious.statement import columns_of, rounds_of
from lingqu.share.rep3.ranking import by_digits
from lingqu.share.rep3.rows import DIGIT_BITS
from lingqu.share.tables import binary_bytes

PARTIES = range(3)


@dataclass(frozen=True)
class Table:
    """A table that moves: words of a component, bytes of it on the way, and whether they are words of bits."""

    words: int
    size: int
    binary: bool


def integers_table(words: int) -> Table:
    """A table of ring elements."""
    return Table(words, WORD * words, False)


def bits_table(rows: int, widths: Sequence[int]) -> Table:
    """A table of words of bits as tables.pack_columns lays it out."""
    return Table(rows * places_of(widths)[1], binary_bytes(rows, widths), True)


class Tally(unchecked.Tally):
    """Counts messages of one run, operation after operation; `cost` includes the proofs still to be made."""

    def __init__(self) -> None:
        super().__init__()
        self._unsettled = False
        self._clear()

    def _clear(self) -> None:
        self._words: list[list[int]] = [[], [], []]
        self._recorded_words = 0
        self._moved = 0
        self._kept = 0
        self._lengths: list[list[int]] = [[], [], []]

    @property
    def cost(self) -> Cost:
        """What has been counted, and the proof and verdicts that an opening would wait for."""
        whole = deepcopy(self)
        whole.settle()
        return Cost(max(whole._depth), whole._bytes)

    @contextmanager
    def turned(self, more: int) -> Iterator[None]:
        """Checked.turned."""
        yield

    # Proofs

    def _recorded(self) -> None:
        self._unsettled = True
        if self._recorded_words >= session.PENDING_BIT_WORDS or self._kept >= session.PENDING_RING_WORDS:
            self._prove()

    def _around(self, size: int, steps: Iterable[int]) -> None:
        """Every party sends to those so many places after it."""
        steps = tuple(steps)
        self.wave(*((party, party + step, size) for party in PARTIES for step in steps))

    def _prove(self) -> None:
        """Checked._prove."""
        if self._recorded_words or self._moved or any(self._lengths):
            self._around(SEED_BYTES, (1, -1))
            self._prove_bits()
            count_check(self, self._lengths)
        self._clear()

    def _prove_bits(self) -> None:
        """bits.BitProofs.check."""
        rounds = [rounds_of(columns_of(lengths), self._moved) for lengths in self._words]
        provers = [party for party in PARTIES if rounds[party]]
        for number in range(max(map(len, rounds))):
            own = [party for party in provers if number < len(rounds[party])]
            self.wave(*((party, party + 1, WORD * (2 * rounds[party][number] - 2)) for party in own))
            self.wave(*((party + 1, party, 2 * WORD) for party in own if number < len(rounds[party]) - 1))
        self.wave(*((party, party + step, DIGEST_BYTES) for party in provers for step in (1, -1)))
        self.wave(*((party - 1, party + 1, 3 * WORD) for party in provers))

    def settle(self) -> None:
        """Checked.settle."""
        if self._unsettled:
            self._prove()
            self._around(len(session.HOLDS), (1, -1))
        self._unsettled = False

    def reveal(self, size: int, recipients: int) -> None:
        """Checked.open."""
        self.settle()
        to = PARTIES if recipients > 1 else (1,)
        self.wave(*(message for j in to for message in ((j - 1, j, size), (j + 1, j, DIGEST_BYTES))))

    def enter(self, size: int) -> None:
        """outside.CheckedDoor: the holders of what was sent compare digests."""
        super().enter(size)
        self.wave((1, 2, DIGEST_BYTES), (2, 1, DIGEST_BYTES))

    def leave(self, size: int) -> None:
        """outside.CheckedDoor.reveal."""
        self.settle()
        super().leave(size + DIGEST_BYTES)

    # Products

    def conjunction(self, words: int) -> None:
        """Checked.conjunction."""
        super().conjunction(words)
        for lengths in self._words:
            lengths.append(words)
        self._recorded_words += words
        self._recorded()

    def _carries(self, count: int) -> None:
        """Checked.carries."""
        self.give(WORD * count)
        self._words[0].append(count)
        self._recorded_words += count
        self._recorded()

    def summed(self, count: int, bits: int = 64) -> None:
        """Checked.summed."""
        self._carries(count)

    def _share_dot(self, prover: int, factors: Sequence[int], results: int, width: int = 64, kept: int = 2) -> None:
        """Checked.share_dot; factors: the lengths of the pairs that it is given."""
        self.give(WORD * packed(results, width), prover)
        if results:
            self._lengths[prover].extend(factors)
            self._kept += kept * sum(factors) + results
        self._recorded()

    def _claimed(self, lengths: Iterable[int]) -> None:
        """Pairs of factors of every party's claims."""
        sizes = tuple(lengths)
        for row in self._lengths:
            row.extend(sizes)

    def _products(self, factors: int, results: int) -> None:
        self.reshare(WORD * results)
        if results:
            self._claimed(product_lengths(factors))
            self._kept += 4 * factors + 3 * results
        self._recorded()

    def multiply(self, count: int) -> None:
        """Machine.multiply."""
        self._products(count, count)

    def matmul(self, rows: int, inner: int, columns: int, stack: int = 1) -> None:
        """Machine.matmul."""
        self.reshare(WORD * stack * rows * columns)
        if rows * columns:
            self._claimed(stack * matmul_lengths((rows, inner, columns)))
            self._kept += stack * (2 * (rows * inner + inner * columns) + 3 * rows * columns)
        self._recorded()

    def multiply_real(self, count: int) -> None:
        """Machine.multiply_real."""
        self.multiply(count)
        self.truncate(count, FRACTION_BITS)

    def matmul_real(self, rows: int, inner: int, columns: int) -> None:
        """Machine.matmul_real."""
        self.matmul(rows, inner, columns)
        self.truncate(rows * columns, FRACTION_BITS)

    def truncate(self, count: int, bits: int) -> None:
        """Machine.truncate."""
        self._carries(count)
        self._share_dot(0, [count, count], count, kept=0)
        self._share_dot(0, [count], count, bits, kept=0)
        for prover in (2, 1):
            self._share_dot(prover, [count], count, bits, kept=1)

    def integers(self, count: int, width: int = 1) -> None:
        """Words as integers; width 1 is the injection of a bit."""
        for start in range(0, max(count, 1), chunk_rows(width)):
            rows = min(count - start, chunk_rows(width))
            self._share_dot(0, [width * rows], width * rows)
            for prover in (2, 1):
                self._share_dot(prover, [width * rows], rows)

    def weigh(self, count: int, bits: int, sums: Sequence[int]) -> None:
        """Machine.weigh."""
        most = chunk_rows(max(bits, 1))
        for start in range(0, max(count, 1), most):
            rows = min(count - start, most)
            self._share_dot(0, [bits * rows], bits * rows)
            for used in sums:
                for prover in (2, 1):
                    self._share_dot(prover, [used * rows], rows)

    def select(self, flags: int, count: int) -> None:
        """Machine.select by bits: every bit as an integer, and products."""
        self.integers(flags)
        self.multiply(count)

    def _show(self, words: int) -> None:
        """Checked.show_choices."""
        self.conjunction(words)
        self.reveal(WORD * words, 3)

    # Rows

    def move(self, tables: Sequence[Table], opened: int = 0) -> None:
        """moves.move."""
        for index in HOPS:
            lower, upper = index - 1, index
            pairs = ((lower, upper), (upper, lower))
            self.wave(*((one, other, table.size) for table in tables for one, other in pairs))
        for table in (*tables, *tables):
            if table.binary:
                self._moved += table.words
            else:
                self._claimed([table.words] * (table.words > 0))
        self._kept += sum(18 * table.words for table in tables if not table.binary)
        self._recorded()
        for table in tables[:opened]:
            self.reveal(table.size, 3)

    def digit_order(self, rows: int, width: int) -> None:
        """rows.digit_order."""
        values = 2**width - 1
        if width > 1:
            self.bits_and(rows)
        self.integers(rows * values)
        self._products(rows * values, rows)

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
                digit = Table(rows, WORD * packed(rows, width), True)
                self.move([integers_table(rows), digit], opened=1)
            self.digit_order(rows, width)
            if start:
                self.move([integers_table(rows)])
        return False

    def rank(self, rows: int, bits: int) -> None:
        """ranking.sort."""
        columns, width, total = layout(rows, bits)
        self.move([Table(rows * columns, WORD * packed(rows * columns, width), True)])
        for stage in stages(rows, session.STEP):
            for count in stage.comparisons:
                if count:
                    self.compare(count, total)

    def _columns(self, rows: int, columns: int, widths: Sequence[int]) -> list[Table]:
        return [integers_table(rows * columns)] * (columns > 0) + [bits_table(rows, widths)] * bool(widths)

    def shuffle(self, rows: int, columns: int, widths: Sequence[int] = ()) -> None:
        """Machine.shuffle."""
        self.move(self._columns(rows, columns, widths))

    def unshuffle(self, rows: int, columns: int, widths: Sequence[int] = ()) -> None:
        """A shuffle undone."""
        self.move(self._columns(rows, columns, widths))

    def apply(self, rows: int, columns: int, widths: Sequence[int] = ()) -> None:
        """Machine.apply."""
        self.move([integers_table(rows), *self._columns(rows, columns, widths)], opened=1)

    def unapply(self, rows: int, columns: int, widths: Sequence[int] = ()) -> None:
        """Machine.unapply."""
        self.move([integers_table(rows)], opened=1)
        self.move(self._columns(rows, columns, widths))
