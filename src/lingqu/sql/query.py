"""A parsed SELECT to a logical query: names resolved, types checked, only aggregates over groups let through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from lingqu.kinds.errors import Refused
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, ColumnType
from lingqu.plan.logical import (
    Aggregate,
    Apply,
    Computed,
    Expression,
    Filter,
    Join,
    JoinKind,
    Local,
    Query,
    Scan,
    Shown,
    Tree,
    tables,
)
from lingqu.sql.bind import Binder
from lingqu.sql.calls import CALLS, no_aggregate, read_call
from lingqu.sql.names import Scope
from lingqu.sql.parse import Text, parse

_HAVING: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.And: "and", exp.Or: "or", exp.Not: "not", exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Neg: "neg",
}  # fmt: skip
MAX_LIMIT = 1_000_000_000


def read(program: Program, assets: Mapping[str, Asset]) -> tuple[Query, Text]:
    """The logical query of a program, and its text for errors that show a place."""
    tree, place = parse(program.text)
    source = tree.args.get("from_")
    if source is None:
        raise place.error(tree, "The query reads no table.", "Add FROM and a table.")
    joins: list[exp.Join] = tree.args.get("joins") or []
    nodes = [source.this, *(join.this for join in joins)]
    for node in nodes:
        if not isinstance(node, exp.Table):
            raise place.error(node, "Only tables can stand in FROM and JOIN.", "Name a table of the catalogue.")
    scope = Scope.of(nodes, assets, place)
    binder = Binder(scope, program.parameters)
    rows: Tree = scope.tables[0]
    _mark_outer(scope, joins, place)
    for node, scan in zip(joins, scope.tables[1:], strict=True):
        rows = _join(binder, rows, scan, node)
    where = tree.args.get("where")
    if where is not None:
        no_aggregate(binder, where, "WHERE", "Put conditions on aggregates into HAVING.")
        for part in _parts(where.this):
            rows = Filter(rows, binder.predicate(part))
    return _Reader(binder, tree).query(rows), place


def _parts(node: exp.Expr) -> list[exp.Expr]:
    """The parts of a conjunction."""
    if isinstance(node, exp.Paren):
        return _parts(node.this)
    return [*_parts(node.this), *_parts(node.expression)] if isinstance(node, exp.And) else [node]


_KINDS: dict[str, JoinKind] = {
    "": "inner", "INNER": "inner", "LEFT": "left", "RIGHT": "right", "FULL": "full",
    "LEFT OUTER": "left", "RIGHT OUTER": "right", "FULL OUTER": "full",
}  # fmt: skip


def _kind(node: exp.Join, place: Text) -> JoinKind:
    kind = " ".join(str(node.args[key]).upper() for key in ("method", "side", "kind") if node.args.get(key))
    if kind not in _KINDS:
        raise place.error(node, f"{kind} JOIN is not supported.", "Use [LEFT | RIGHT | FULL] JOIN ... ON a.k = b.k.")
    return _KINDS[kind]


def _mark_outer(scope: Scope, nodes: Sequence[exp.Join], place: Text) -> None:
    """Note which tables a joined row can lack: their columns are null there."""
    for i, node in enumerate(nodes):
        kind = _kind(node, place)
        if kind in ("left", "full"):
            scope.outer.add(scope.tables[i + 1].alias)
        if kind in ("right", "full"):
            scope.outer |= {scan.alias for scan in scope.tables[: i + 1]}


def _join(binder: Binder, left: Tree, right: Scan, node: exp.Join) -> Tree:
    kind = _kind(node, binder.scope.place)
    condition = node.args.get("on")
    if condition is None:
        raise binder.error(node, "A join needs a key.", "Write JOIN ... ON a.k = b.k.")
    no_aggregate(binder, condition, "ON", "Put conditions on aggregates into HAVING.")
    pairs: list[tuple[Local, Local]] = []
    others: list[Expression] = []
    for part in _parts(condition):
        pair = _pair(binder, part, right.alias)
        if pair is not None:
            pairs.append(pair)
        else:
            others.append(binder.predicate(part))
    if not pairs:
        raise binder.error(
            condition, "The join has no equality between its two sides.", f"Write ON ... = {right.alias}.key."
        )
    if others and kind != "inner":
        raise binder.error(
            condition,
            f"A {kind.upper()} JOIN takes equalities of keys only.",
            "Put conditions on all joined rows into WHERE; for others, register a table that has only those rows.",
        )
    rows: Tree = Join(left, right, tuple(pairs), kind)
    for other in others:
        rows = Filter(rows, other)
    return rows


def _pair(binder: Binder, node: exp.Expr, right: str) -> tuple[Local, Local] | None:
    """The two sides of a join key, the new table's last; None for any other condition."""
    if not isinstance(node, exp.EQ):
        return None
    sides = [binder.bind(node.this), binder.bind(node.expression)]
    if tables(sides[0]) == {right}:
        sides.reverse()
    if tables(sides[1]) != {right} or right in tables(sides[0]) or not tables(sides[0]):
        return None
    left, new = sides
    for side in sides:
        if isinstance(side, Apply) or len(side.columns) != 1 or side.text.count("(") or side.type is ColumnType.REAL:
            raise binder.error(
                node,
                f"{side.text} ({side.type.value}) cannot be a join key.",
                "Join on plain columns of type int, string, date, bool, timestamp or decimal.",
            )
    assert isinstance(left, Local)
    assert isinstance(new, Local)
    if (left.type, left.tens) != (new.type, new.tens):
        raise binder.error(
            node,
            f"{left.text} ({left.type.value}) and {new.text} ({new.type.value}) never match.",
            "Register one of the tables with the key in the other's type.",
        )
    return left, new


@dataclass
class _Reader:
    """Reads the select list, GROUP BY, HAVING, ORDER BY and LIMIT."""

    binder: Binder
    tree: exp.Select
    keys: list[tuple[str, Local]] = field(default_factory=list)
    aggregates: list[Aggregate] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)

    def query(self, source: Tree) -> Query:
        group = self.tree.args.get("group")
        if group is not None:
            self._group(group)
        for entry in self.tree.expressions:
            self._show(entry)
        having = self.tree.args.get("having")
        condition = None if having is None else self._having(having.this, top=True)
        if not self.aggregates:
            self.aggregates.append(Aggregate("a0", "count", None, "COUNT(*)"))
        return Query(
            source=source,
            keys=tuple(self.keys),
            aggregates=tuple(self.aggregates),
            having=condition,
            shown=tuple(self.shown),
            order=self._order(),
            limit=self._limit(),
        )

    def _group(self, group: exp.Group) -> None:
        for name, value in group.args.items():
            if name != "expressions" and value:
                raise self.binder.error(
                    group, f"GROUP BY {name.strip('_').upper()} is not supported.", "List the columns to group by."
                )
        for node in group.expressions:
            target = self._selected(node) or node
            no_aggregate(self.binder, target, "GROUP BY", "Group by columns.")
            key = self.binder.bind(target)
            if isinstance(key, Apply) or key.table is None:
                raise self.binder.error(
                    node, f"{key.text} cannot be a group key.", "Group by columns, each of one table."
                )
            if all(key.sql != known.sql or key.table != known.table for _, known in self.keys):
                self.keys.append((f"k{len(self.keys)}", key))

    def _selected(self, node: exp.Expr) -> exp.Expr | None:
        """The selected expression that a position or an alias stands for."""
        if isinstance(node, exp.Literal) and not node.is_string:
            place = int(node.this) if str(node.this).isdigit() else 0
            if not 1 <= place <= len(self.tree.expressions):
                raise self.binder.error(
                    node, f"There is no column {node.this} in the SELECT list.", "Use a name or a place from 1."
                )
            found: exp.Expr = self.tree.expressions[place - 1].unalias()
            return found
        if isinstance(node, exp.Column) and not node.table:
            for entry in self.tree.expressions:
                if isinstance(entry, exp.Alias) and entry.alias == node.name:
                    inner: exp.Expr = entry.this
                    return inner
        return None

    def _show(self, entry: exp.Expr) -> None:
        node = entry.unalias()
        while isinstance(node, exp.Paren):
            node = node.this
        title = entry.alias or (node.name if isinstance(node, exp.Column) else node.sql("duckdb"))
        if any(shown.title == title for shown in self.shown):
            raise self.binder.error(
                entry, f"Two result columns are called {title}.", "Give one an alias: ... AS other."
            )
        if type(node) in CALLS:
            name, kind = self._call(node)
            argument = next(known.argument for known in self.aggregates if known.name == name)
            tens = argument.tens if argument is not None and kind is ColumnType.DECIMAL else 0
            self.shown.append(Shown(title, name, kind, node.sql("duckdb"), tens))
            return
        if node.find(exp.AggFunc) is not None:
            raise self.binder.error(
                node,
                "The result column computes with aggregates, or uses one that is not supported.",
                "Select the aggregates themselves and compute with them after the release.",
            )
        bound = self.binder.bind(node)
        for name, key in self.keys:
            if isinstance(bound, Local) and (bound.sql, bound.table) == (key.sql, key.table):
                self.shown.append(Shown(title, name, key.type, key.text, key.tens))
                return
        raise self.binder.scope.place.error(
            node,
            f"{bound.text} is neither a group key nor an aggregate, so it would release values of single rows.",
            "Add it to GROUP BY, or aggregate it: COUNT, SUM, AVG, MIN or MAX.",
            Refused,
            "minimum_group",
        )

    def _call(self, node: exp.Expr) -> tuple[str, ColumnType]:
        """An aggregate's name within the plan, and its type."""
        found, kind = read_call(self.binder, node)
        for known in self.aggregates:
            if replace(known, name="", text="") == replace(found, text=""):
                return known.name, kind
        name = f"a{len(self.aggregates)}"
        self.aggregates.append(replace(found, name=name))
        return name, kind

    def _having(self, node: exp.Expr, *, top: bool = False) -> Computed:
        if isinstance(node, exp.Paren):
            return self._having(node.this, top=top)
        if top and type(node) not in _HAVING and not isinstance(node, exp.Between | exp.In | exp.Is):
            raise self.binder.error(node, "HAVING needs a condition.", "Compare an aggregate: HAVING COUNT(*) > 10.")
        if type(node) in CALLS:
            name, _ = self._call(node)
            return Computed("aggregate", name=name)
        if isinstance(node, exp.Between):
            low = Computed(">=", (self._having(node.this), self._having(node.args["low"])))
            return Computed("and", (low, Computed("<=", (self._having(node.this), self._having(node.args["high"])))))
        if isinstance(node, exp.In) and node.expressions:
            parts = [Computed("=", (self._having(node.this), self._having(option))) for option in node.expressions]
            result = parts[0]
            for part in parts[1:]:
                result = Computed("or", (result, part))
            return result
        if isinstance(node, exp.Is) and isinstance(node.expression, exp.Null):
            return Computed("is_null", (self._having(node.this),))
        if type(node) in _HAVING:
            sides = [node.this] if isinstance(node, exp.Not | exp.Neg) else [node.this, node.expression]
            return Computed(_HAVING[type(node)], tuple(self._having(side) for side in sides))
        target = self._selected(node) if isinstance(node, exp.Column) else None
        if target is not None and type(target) in CALLS:
            return self._having(target)
        bound = None if node.find(exp.AggFunc) else self.binder.bind(node)
        if isinstance(bound, Local) and bound.table is None and bound.type in (ColumnType.INT, ColumnType.REAL):
            return Computed("constant", constant=bound)
        raise self.binder.error(
            node,
            f"{node.sql('duckdb')} cannot be used in HAVING.",
            "Compare aggregates with numbers; put conditions on columns into WHERE.",
        )

    def _order(self) -> tuple[tuple[str, bool, bool], ...]:
        order = self.tree.args.get("order")
        entries: list[tuple[str, bool, bool]] = []
        for ordered in order.expressions if order is not None else []:
            node = ordered.this
            target = self._selected(node) or node
            found = [s.name for s in self.shown if self._means(s, target)]
            if not found:
                raise self.binder.error(
                    node,
                    f"{node.sql('duckdb')} is not among the selected columns.",
                    "Select it too: what the result is ordered by is learned with it.",
                )
            entries.append((found[0], bool(ordered.args.get("desc")), bool(ordered.args.get("nulls_first"))))
        return tuple(entries)

    def _means(self, shown: Shown, node: exp.Expr) -> bool:
        if type(node) in CALLS:
            before = len(self.aggregates)
            name, _ = self._call(node)
            del self.aggregates[before:]
            return name == shown.name
        if node.find(exp.AggFunc) is not None:
            return False
        bound = self.binder.bind(node)
        key = dict(self.keys).get(shown.name)
        return key is not None and isinstance(bound, Local) and (bound.sql, bound.table) == (key.sql, key.table)

    def _limit(self) -> int | None:
        limit = self.tree.args.get("limit")
        if limit is None:
            return None
        value = limit.expression if isinstance(limit, exp.Limit) else None
        if not isinstance(value, exp.Literal) or not str(value.this).isdigit() or int(value.this) > MAX_LIMIT:
            raise self.binder.error(limit, "LIMIT takes a whole number.", "Write LIMIT 10.")
        return int(value.this)
