"""What making correlations sends, from public counts alone: it follows stock.py and networks.py step by step."""

from __future__ import annotations

from collections.abc import Mapping

from lingqu import _core
from lingqu.kinds.mechanism import Cost
from lingqu.ot import costs
from lingqu.share.outline import WORD, packed
from lingqu.share.two import layout, products
from lingqu.share.two.link import KEY_BYTES
from lingqu.share.two.needs import SWITCHES, Need, batches, transfers_of

SETUP_WAVES = 3


class Forecast:
    """Counts one session's messages for correlations in their order; the session starts without any.

    Both directions' transfers that are left over, and whether lattice keys are there, are kept from one `fill` to the
    next, as a session keeps them.
    """

    def __init__(self) -> None:
        self._depth = [0, 0]
        self._bytes = 0
        self._ready = [0, 0]
        self._extensions = [0, 0]
        self._keys = False

    @property
    def cost(self) -> Cost:
        """What has been counted."""
        return Cost(max(self._depth), self._bytes)

    def wave(self, *messages: tuple[int, int]) -> None:
        """Messages (sender, bytes) that are all sent before any is received."""
        arrivals = [(1 - sender, self._depth[sender] + 1) for sender, _ in messages]
        for to, depth in arrivals:
            self._depth[to] = max(self._depth[to], depth)
        self._bytes += sum(size for _, size in messages)

    def fill(self, demand: Mapping[Need, int]) -> None:
        """Stock.fill."""
        self._prepare(transfers_of(demand))
        for need, units in demand.items():
            if need.kind == "triples":
                self._triples(batches(units))
            elif need.kind == "matrices":
                for _ in range(units):
                    self._matrix(need)
            elif need.kind == "orders":
                for _ in range(units):
                    self._order(need)

    def _prepare(self, counts: tuple[int, int]) -> None:
        """Source.prepare, and that these transfers are then taken."""
        messages = []
        for sender, count in enumerate(counts):
            coming = costs.extensions(self._extensions[sender], count - self._ready[sender])
            messages += [(sender, costs.TREE_BYTES * trees) for trees in coming]
            self._ready[sender] += sum(map(costs.rows_of, coming)) - count
            self._extensions[sender] += len(coming)
        self.wave(*messages)

    def _make_keys(self) -> None:
        if not self._keys:
            self._keys = True
            half = products.setup_cost().bytes // 2
            self.wave((0, half), (1, half))

    def _triples(self, count: int) -> None:
        if count:
            self._make_keys()
            self._bytes += products.triples_cost(count, self._depth).bytes

    def _matrix(self, need: Need) -> None:
        if 0 not in need.sizes:
            self._make_keys()
            self._bytes += layout.choose(*need.sizes).cost(self._depth).bytes

    def _order(self, need: Need) -> None:
        """networks.make_order."""
        rows, holder = need.sizes[0], need.giver
        for inverse in (False, True):
            moves = [move for move in need.moves if move.inverse == inverse]
            if not moves or rows < 2:
                continue
            switches = _core.switch_count(rows)
            for start in range(0, switches, SWITCHES):
                count = min(SWITCHES, switches - start)
                self.wave((holder, WORD * packed(count)))
                self.wave((1 - holder, sum(WORD * packed(count * move.columns, move.width) for move in moves)))


def connected() -> Forecast:
    """A session just after `connect`: the base transfers of both directions, and the pair's key."""
    forecast = Forecast()
    for index in range(SETUP_WAVES):
        each = costs.setup_cost().bytes // 2 if index == 0 else 0
        forecast.wave((0, each), (1, each))
    forecast.wave((0, KEY_BYTES))
    return forecast


def preparation_cost(demand: Mapping[Need, int]) -> Cost:
    """What filling a fresh session's stock sends."""
    forecast = connected()
    before = forecast.cost
    forecast.fill(demand)
    after = forecast.cost
    return Cost(after.rounds - before.rounds, after.bytes - before.bytes)
