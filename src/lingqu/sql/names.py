"""Which table and column a name in the text means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from lingqu.kinds.schema import Asset, Column
from lingqu.plan.logical import Scan
from lingqu.sql.parse import Text


def find_asset(table: exp.Table, assets: Mapping[str, Asset], place: Text) -> Asset:
    """The asset of a table's name: "owner/table", owner.table, or the bare name where only one owner has it."""
    if table.args.get("catalog") or not isinstance(table.this, exp.Identifier):
        raise place.error(
            table, "This is no table of the catalogue.", 'Write "owner/table", owner.table or the table\'s name.'
        )
    name = f"{table.db}/{table.name}" if table.db else table.name
    if name in assets:
        return assets[name]
    found = sorted(asset.id for asset in assets.values() if name == asset.name)
    if not found:
        found = sorted(asset.id for asset in assets.values() if name.casefold() in (asset.name, asset.id.casefold()))
    if len(found) == 1:
        return assets[found[0]]
    if found:
        choices = ", ".join(f'"{asset}"' for asset in found)
        raise place.error(table, f"Several owners have a table {name}.", f"Write one of {choices}.")
    known = ", ".join(f'"{asset}"' for asset in sorted(assets)) or "none"
    raise place.error(table, f"There is no table {name} in the catalogue.", f"Known tables: {known}.")


@dataclass
class Scope:
    """The tables of a query under their names, and how columns are found in them.

    outer: names of the tables that a joined row can lack; their columns are null there.
    """

    place: Text
    tables: list[Scan]
    qualifiers: dict[str, list[Scan]]
    outer: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, nodes: Sequence[exp.Table], assets: Mapping[str, Asset], place: Text) -> Scope:
        """The scope of FROM and JOIN in order; BadInput for unknown tables and names used twice."""
        scope = cls(place, [], {})
        for node in nodes:
            asset = find_asset(node, assets, place)
            alias = node.alias
            taken = {scan.alias for scan in scope.tables}
            name = alias or (asset.name if asset.name not in taken else asset.id)
            if name in taken:
                raise place.error(node, f"The name {name} is given to two tables.", "Give one an alias: ... AS other.")
            scan = Scan(name, asset)
            scope.tables.append(scan)
            for qualifier in {name} if alias else {asset.name, asset.id}:
                scope.qualifiers.setdefault(qualifier, []).append(scan)
        return scope

    def column(self, node: exp.Column) -> tuple[Scan, Column]:
        """The table and column that a reference means; BadInput when there is none, or more than one."""
        searched = self.tables
        if node.table:
            qualifier = f"{node.db}/{node.table}" if node.db else node.table
            searched = self.qualifiers.get(qualifier) or [
                scan
                for key, scans in self.qualifiers.items()
                if key.casefold() == qualifier.casefold()
                for scan in scans
            ]
            if len(searched) != 1:
                known = ", ".join(sorted(self.qualifiers))
                cause = "Several tables are" if searched else "No table of this query is"
                raise self.place.error(node, f"{cause} called {qualifier}.", f"Tables here: {known}.")
        found = [(scan, column) for scan in searched if (column := scan.asset.column(node.name)) is not None]
        if not found:
            found = [
                (scan, column)
                for scan in searched
                for column in scan.asset.columns
                if column.name.casefold() == node.name.casefold()
            ]
        if len(found) == 1:
            return found[0]
        if found:
            options = ", ".join(f"{scan.alias}.{column.name}" for scan, column in found)
            raise self.place.error(node, f"The column {node.name} is ambiguous.", f"Write one of {options}.")
        known = "; ".join(
            f"{scan.alias}: {', '.join(column.name for column in scan.asset.columns)}" for scan in searched
        )
        raise self.place.error(node, f"There is no column {node.name}.", f"Columns of {known}.")
