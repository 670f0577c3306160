"""Small tables of several owners, the plans over them, and DuckDB's answer on the pooled tables."""

from __future__ import annotations

import datetime
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from lingqu.engine.execute import execute
from lingqu.engine.release import Release
from lingqu.kinds.channel import Traffic
from lingqu.kinds.mechanism import Adversary, Registry
from lingqu.kinds.programs import Parameter, Program, Value
from lingqu.kinds.schema import Asset, Column, ColumnProfile, ColumnType, Grade
from lingqu.net.memory import memory_channels
from lingqu.plan.inputs import bound
from lingqu.plan.plan import Plan, Setting, Step
from lingqu.share.plain import DECLARATION as PLAIN
from lingqu.share.plain import Plain
from lingqu.share.rep3 import DECLARATION as REP3
from lingqu.share.rep3 import connect
from lingqu.sql import FRONTEND

JOB = "00112233445566778899aabbccddeeff"
PARTIES = ("civil-affairs", "human-resources", "big-data")
TYPES = {
    ColumnType.BOOL: "BOOLEAN",
    ColumnType.INT: "BIGINT",
    ColumnType.REAL: "DOUBLE",
    ColumnType.STRING: "VARCHAR",
    ColumnType.DATE: "DATE",
    ColumnType.TIMESTAMP: "TIMESTAMP",
}


@dataclass
class Table:
    """One owner's table: rows in order, and what the catalogue publishes of it."""

    owner: str
    name: str
    columns: dict[str, ColumnType]
    rows: list[tuple[Any, ...]]
    unique: frozenset[str] = frozenset()
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    categories: Mapping[str, Sequence[str] | None] = field(default_factory=dict)
    scales: Mapping[str, int] = field(default_factory=dict)

    @property
    def asset(self) -> Asset:
        """The catalogue's entry."""
        names = list(self.columns)
        profile = {name: self._profile(name, [row[i] for row in self.rows]) for i, name in enumerate(names)}
        return Asset(
            id=f"{self.owner}/{self.name}",
            owner=self.owner,
            name=self.name,
            title=self.name,
            version=1,
            columns=tuple(
                Column(
                    name=name,
                    type=kind,
                    nullable=any(row[place] is None for row in self.rows),
                    scale=self.scales.get(name, 0),
                )
                for place, (name, kind) in enumerate(self.columns.items())
            ),
            rows=len(self.rows),
            profile=profile,
            grade=Grade.GENERAL,
            registered="2026-01-01T00:00:00Z",
        )

    def _profile(self, name: str, values: list[Any]) -> ColumnProfile:
        found = [value for value in values if value is not None]
        kind = self.columns[name]
        most = max(Counter(found).values(), default=1)
        repeats = 1 if name in self.unique else 1 << (most - 1).bit_length()
        if kind is ColumnType.STRING:
            listed = self.categories.get(name, tuple(sorted(set(found))))
            categories = None if listed is None else tuple(listed)
            return ColumnProfile(
                categories=categories, complete=categories is not None, unique=name in self.unique, repeats=repeats
            )
        numbers = [_number(value) for value in found]
        lower, upper = self.bounds.get(name, (min(numbers, default=0), max(numbers, default=0)))
        return ColumnProfile(
            lower=lower if numbers else None,
            upper=upper if numbers else None,
            unique=name in self.unique,
            repeats=repeats,
            nulls=round(1 - len(found) / len(values), 2) if values else 0.0,
        )

    def load(self, connection: duckdb.DuckDBPyConnection, name: str) -> None:
        """Create the table in a database under a quoted name."""
        decimals = {name: f"DECIMAL(18, {scale})" for name, scale in self.scales.items()}
        columns = ", ".join(f'"{name}" {decimals.get(name) or TYPES[kind]}' for name, kind in self.columns.items())
        connection.execute(f'CREATE TABLE "{name}" ({columns})')
        if self.rows:
            kinds = {ColumnType.BOOL: pa.bool_(), ColumnType.INT: pa.int64(), ColumnType.REAL: pa.float64()}
            kinds |= {
                ColumnType.STRING: pa.string(),
                ColumnType.DATE: pa.date32(),
                ColumnType.TIMESTAMP: pa.timestamp("us"),
            }
            exact = {name: pa.decimal128(18, scale) for name, scale in self.scales.items()}
            wanted = [exact.get(name) or kinds[kind] for name, kind in self.columns.items()]
            values = [[row[place] for row in self.rows] for place in range(len(self.columns))]
            arrays = [pa.array(v, kind) for v, kind in zip(values, wanted, strict=True)]
            connection.register("arriving", pa.table(arrays, names=list(self.columns)))
            connection.execute(f'INSERT INTO "{name}" SELECT * FROM arriving')
            connection.unregister("arriving")


_EPOCH = datetime.date(1970, 1, 1)
_START = datetime.datetime(1970, 1, 1)


def _number(value: Any) -> float:
    """A value as profiles see it: days of dates, microseconds of timestamps."""
    if isinstance(value, datetime.datetime):
        return float((value - _START) // datetime.timedelta(microseconds=1))
    return float((value - _EPOCH).days) if isinstance(value, datetime.date) else float(value)


def as_array(values: list[Any]) -> npt.NDArray[Any]:
    """Scanned values as the catalogue gives them: days for dates, objects for texts, never null."""
    assert all(value is not None for value in values)
    if any(isinstance(value, str) for value in values) or not values:
        return np.asarray(values, dtype=object) if values else np.zeros(0, np.int64)
    return np.asarray([(value - _EPOCH).days if hasattr(value, "year") else value for value in values])


@dataclass
class World:
    """Tables of all owners, and how to ask about them."""

    tables: Sequence[Table]
    minimum: int = 2

    @property
    def assets(self) -> dict[str, Asset]:
        """The catalogue."""
        return {table.asset.id: table.asset for table in self.tables}

    def setting(self, **changes: Any) -> Setting:
        """Three parties, rep3 and the ideal twin installed."""
        registry = Registry()
        for declaration in (PLAIN, REP3):
            registry.register(declaration)
        fields: dict[str, Any] = {
            "parties": PARTIES,
            "recipient": "big-data",
            "minimum_group": self.minimum,
            "adversary": Adversary.SEMI_HONEST,
            "techniques": ("share.rep3",),
            "registry": registry,
        }
        return Setting(**(fields | changes))

    def compile(self, text: str, parameters: Mapping[str, Parameter] | None = None, **changes: Any) -> Plan:
        """The plan of a query."""
        program = Program(kind="sql", text=text, parameters=dict(parameters or {}))
        return FRONTEND.compile(program, self.assets, self.setting(**changes))

    def scan(self, bindings: Mapping[str, Value]) -> Callable[[Step], dict[str, npt.NDArray[Any]]]:
        """What owners' databases answer."""

        def rows(step: Step) -> dict[str, npt.NDArray[Any]]:
            table = next(t for t in self.tables if t.asset.id == step.arguments["asset"])
            projections: Any = step.arguments["projections"]
            names = [item["name"] for item in projections]
            if not names:
                return {}
            sql = ", ".join(bound(item["sql"], bindings) for item in projections)
            with duckdb.connect(config={"threads": 1}) as connection:
                table.load(connection, "t")
                found = connection.execute(f"SELECT {sql} FROM t ORDER BY rowid").fetchall()
            return {name: as_array([row[place] for row in found]) for place, name in enumerate(names)}

        return rows

    def run(self, plan: Plan, bindings: Mapping[str, Value] | None = None, **more: Any) -> Release:
        """The release of a run on the ideal twin."""
        bound_to = bindings or {}
        gate = more.pop("gate", lambda step, reveal: None)
        release = execute(
            plan, Plain(), self.scan(bound_to), bound_to, lambda step, traffic: None, gate, job=JOB,
            operators=FRONTEND.operators, **more,
        )  # fmt: skip
        assert release is not None
        return release

    def ask(self, text: str, parameters: Mapping[str, Parameter] | None = None, **bindings: Value) -> Release:
        """Compile and run."""
        return self.run(self.compile(text, parameters), bindings)

    def run_rep3(
        self, plan: Plan, watch: Callable[[int, Step, Traffic], None] = lambda *_: None
    ) -> list[Release | None]:
        """The releases of three parties in threads; the first error of a party is raised."""
        channels = memory_channels(PARTIES)
        found: list[Release | None] = [None] * 3
        errors: list[BaseException] = []

        def party(place: int) -> None:
            channel = channels[place]
            try:
                found[place] = execute(
                    plan, connect(channel), self.scan({}), {}, lambda step, traffic: watch(place, step, traffic),
                    lambda step, reveal: None, job=JOB, traffic=lambda: channel.traffic, operators=FRONTEND.operators,
                )  # fmt: skip
            except BaseException as error:
                errors.append(error)
            finally:
                channel.close()

        threads = [threading.Thread(target=party, args=(place,)) for place in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        if errors:
            raise errors[0]
        return found

    def pooled(self, text: str) -> list[tuple[Any, ...]]:
        """DuckDB's answer over all tables in one database."""
        with duckdb.connect(config={"threads": 1}) as connection:
            for table in self.tables:
                table.load(connection, table.name)
            return connection.execute(text).fetchall()


PEOPLE = {
    "id": ColumnType.STRING,
    "education": ColumnType.STRING,
    "age": ColumnType.INT,
    "born": ColumnType.DATE,
    "weight": ColumnType.REAL,
    "married": ColumnType.BOOL,
}
WORK = {
    "id": ColumnType.STRING,
    "行业": ColumnType.STRING,
    "hours": ColumnType.INT,
    "wage": ColumnType.REAL,
    "income": ColumnType.STRING,
}


def census(rows: int = 60, seed: int = 3) -> World:
    """Two bureaus that share most people, with nulls."""
    draw = np.random.default_rng(seed)

    def maybe(value: Any) -> Any:
        return None if draw.random() < 0.12 else value

    def people(i: int) -> tuple[Any, ...]:
        return (
            f"人{i}",
            maybe(str(draw.choice(["HS", "本科", "PhD"], p=[0.5, 0.45, 0.05]))),
            maybe(int(draw.integers(17, 80))),
            maybe(datetime.date(1950, 1, 1) + datetime.timedelta(days=int(draw.integers(0, 20000)))),
            maybe(float(np.round(draw.normal(70, 12), 3))),
            maybe(bool(draw.random() < 0.5)),
        )

    def work(i: int) -> tuple[Any, ...]:
        return (
            f"人{i}",
            maybe(str(draw.choice(["农业", "IT"]))),
            maybe(int(draw.integers(1, 99))),
            maybe(float(np.round(draw.normal(1000, 300), 2))),
            maybe(str(draw.choice([">50K", "<=50K"]))),
        )

    first = [people(int(i)) for i in draw.permutation(rows)[: rows * 5 // 6]]
    second = [work(int(i)) for i in draw.permutation(rows)[: rows * 5 // 6]]
    return World(
        [
            Table("civil-affairs", "residents", PEOPLE, first, frozenset({"id"})),
            Table("human-resources", "employment", WORK, second, frozenset({"id"})),
        ]
    )


@pytest.fixture(scope="session")
def bureaus() -> World:
    """The two bureaus' small tables."""
    return census()


@pytest.fixture(scope="session")
def make_table() -> type[Table]:
    """The class of test tables."""
    return Table


@pytest.fixture(scope="session")
def make_world() -> type[World]:
    """The class of test worlds."""
    return World


@pytest.fixture(scope="session")
def make_census() -> Callable[..., World]:
    """The two bureaus with another seed or size."""
    return census
