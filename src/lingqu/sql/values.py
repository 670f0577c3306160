"""The values of joined rows: circuits over the owners' shared columns, and what must be derived from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lingqu.kinds.schema import ColumnType
from lingqu.plan.logical import Expression, Local
from lingqu.sql.circuit import ALWAYS, Builder, Node, Number, finest
from lingqu.sql.joining import Joining
from lingqu.sql.owners import Owner
from lingqu.sql.parse import Text
from lingqu.sql.whole import WHOLE, number


@dataclass
class Values:
    """Builds circuits of a query's expressions.

    derived: columns to compute on shares, by name.  keep: conditions that rows must meet, beyond those of one owner.
    """

    owners: Mapping[str, Owner]
    joining: Joining
    text: Text
    derived: dict[str, Node] = field(default_factory=dict)
    keep: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.builder = Builder(
            self._leaf,
            lambda value, negated: self.owner(value).truth(value, negated),
            lambda value: self.owner(value).present(value),
            WHOLE,
            number,
        )

    @property
    def rows(self) -> int:
        """Public number of rows after all joins, at least 1."""
        return max(1, self.joining.rows)

    def owner(self, value: Local) -> Owner:
        """The owner that computes a value; constants are anybody's whose rows are always there."""
        if value.table is not None:
            return self.owners[value.table]
        for alias, owner in self.owners.items():
            if alias not in self.joining.nullable:
                return owner
        raise self.text.error(value.offset, f"{value.text} belongs to no table.", "Leave it out beside a FULL JOIN.")

    def _leaf(self, value: Local, fraction: int) -> Number:
        if value.table is not None or value.bounds is None:
            return self.owner(value).number(value, fraction)
        scale = fraction if value.type is ColumnType.REAL else 0
        if value.parameter is not None:
            node = Node(op="parameter", name=value.parameter, scale=scale)
            if value.tens:
                node = Node(op="times", args=(node,), value=str(10**value.tens))
        else:
            assert isinstance(value.constant, bool | int | float)
            node = Node(op="constant", value=str(round(value.constant * (1 << scale))))
        return Number(node, scale, value.bounds.magnitude, ALWAYS)

    def condition(self, predicate: Expression) -> None:
        """A conjunct of WHERE: hidden at its owner where one can compute it, on shares otherwise."""
        if isinstance(predicate, Local) and predicate.table is None:
            for owner in self.owners.values():
                owner.require(predicate)
        elif isinstance(predicate, Local) and predicate.table not in self.joining.nullable:
            self.owner(predicate).require(predicate)
        else:
            self.keep.append(self.builder.condition(predicate, False))

    def column(self, node: Node) -> str:
        """The name of the relation's column that holds a number, or the 0/1 of a condition."""
        if node.op in ("column", "truth"):
            return node.name
        for name, known in self.derived.items():
            if known == node:
                return name
        name = f"d{len(self.derived)}"
        self.derived[name] = node
        return name

    def flag(self, present: Node) -> str | None:
        """The 0/1 column of a condition; None where it always holds."""
        if present == ALWAYS:
            return None
        return self.column(present if present.op == "truth" else Node(op="number", args=(present,)))

    def present(self, argument: Expression) -> Node:
        """The circuit of a value not being null."""
        if isinstance(argument, Local):
            return self.owner(argument).present(argument)
        return finest(lambda fraction: self.builder.number(argument, fraction), 1, argument.text).present
