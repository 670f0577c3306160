"""Fixtures of the model room's tests: the census script, and plans run by the engine without nodes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from lingqu.catalog import ParquetFile, Projection, describe, scan
from lingqu.engine.execute import execute
from lingqu.engine.release import Release
from lingqu.kinds.channel import Traffic
from lingqu.kinds.mechanism import Adversary, Registry, Threat
from lingqu.kinds.programs import Program
from lingqu.kinds.schema import Asset, Grade
from lingqu.ml import FRONTEND, ModelRelease, TrainSpec, model_release
from lingqu.plan.inputs import ScanArguments
from lingqu.plan.plan import Plan, Setting, Step
from lingqu.share import Machine
from lingqu.share.plain import DECLARATION, Plain

CENSUS = Path(__file__).resolve().parents[2] / "scenarios" / "census"
PARTIES = ("civil-affairs", "human-resources", "big-data")

Tables = dict[str, tuple[ParquetFile, Asset, str]]
"""By asset id: where the rows are, what is published of them, their fingerprint."""
Scanned = Mapping[str, Mapping[str, np.ndarray[Any, Any]]]
"""By step id: what an owner's database made of its rows."""


@pytest.fixture(scope="session")
def prepare() -> ModuleType:
    """The census scenario's script, as a module."""
    spec = importlib.util.spec_from_file_location("census_prepare", CENSUS / "prepare.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def engine() -> SimpleNamespace:
    """What this page offers: compile_spec, scan_all, run, PlainClient."""
    return SimpleNamespace(
        compile_spec=compile_spec, scan_all=scan_all, run=run, PlainClient=PlainClient, two_tables=two_tables
    )


@pytest.fixture
def setting() -> Setting:
    """Three parties; the ideal twin under the real mechanism's name, since nodes refuse ideal ones."""
    registry = Registry()
    threat = Threat(Adversary.SEMI_HONEST, 3, 1, "honest majority")
    registry.register(dataclasses.replace(DECLARATION, name="share.rep3", threat=threat, ideal=False))
    return Setting(PARTIES, "big-data", 10, Adversary.SEMI_HONEST, ("share.rep3",), registry)


def two_tables(rows: int, seed: int = 3) -> tuple[pa.Table, pa.Table]:
    """Overlapping people at two owners, in their own orders, with nulls; the label depends on both."""
    rng = np.random.default_rng(seed)
    names = np.array([f"p{n:05d}" for n in range(rows)])
    age, hours = rng.normal(40, 12, rows).round(), rng.normal(38, 9, rows)
    town = rng.choice(["north", "south", "west"], rows)
    gain = np.where(rng.random(rows) < 0.2, rng.lognormal(7, 1, rows).round(), 0).astype(np.int64)
    member = rng.random(rows) < 0.4
    logit = (age - 40) / 8 + (hours - 38) / 12 + (town == "west") - 0.8 * member + 0.2 * np.log1p(gain) - 1
    label = np.where(rng.random(rows) < 1 / (1 + np.exp(-logit)), "high", "low")
    left, right = (rng.permutation(rows)[: rows * 9 // 10] for _ in range(2))
    no_town = [None if n % 23 == 0 else str(value) for n, value in enumerate(town)]
    people = pa.table(
        {"id": names[left], "age": age[left].astype(np.int64), "town": pa.array([no_town[n] for n in left])}
    )
    work = {
        "id": names[right],
        "hours": hours[right],
        "gain": pa.array([None if n % 41 == 0 else int(gain[n]) for n in right]),
        "member": member[right],
    }
    return people, pa.table({**work, "income": label[right]})


@pytest.fixture
def register(tmp_path: Path) -> Callable[[str, pa.Table], Tables]:
    """Writes a table and registers it: (asset id, rows) → what `Tables` holds of it."""

    def _register(name: str, table: pa.Table) -> Tables:
        owner, short = name.split("/")
        path = tmp_path / f"{owner}-{short}.parquet"
        pyarrow.parquet.write_table(table, path)
        source = ParquetFile(path)
        asset, print_ = describe(source, owner=owner, name=short, title=short, grade=Grade.GENERAL, version=1)
        return {name: (source, asset, print_)}

    return _register


def compile_spec(spec: TrainSpec, tables: Tables, setting: Setting) -> Plan:
    """The plan of a specification."""
    program = Program(kind="train", text=spec.canonical().decode())
    return FRONTEND.compile(program, {name: asset for name, (_, asset, _) in tables.items()}, setting)


def scan_all(plan: Plan, tables: Tables) -> Scanned:
    """What the owners' databases make of their rows."""
    scanned = {}
    for step in plan.steps:
        if step.operator == "scan":
            arguments = ScanArguments.parse(json.dumps(step.arguments))
            source, asset, print_ = tables[arguments.asset]
            projections = [Projection(p.name, p.sql) for p in arguments.projections]
            scanned[step.id] = scan(source, asset, projections, print_)
    return scanned


def run(
    plan: Plan,
    machine: Machine,
    scanned: Scanned,
    traffic: Callable[[], Traffic] | None = None,
    after: Callable[[Step, Traffic], None] = lambda step, spent: None,
) -> Release | None:
    """The engine's run of a plan at one party.  after: told every step with what it took."""
    return execute(
        plan, machine, lambda step: scanned[step.id], {}, after, lambda step, last: None, job="00" * 16, traffic=traffic
    )


class PlainClient:
    """Trains under the ideal twin: what a client does, without nodes."""

    def __init__(self, tables: Tables, setting: Setting) -> None:
        self.tables = tables
        self.setting = setting

    def train(self, spec: TrainSpec) -> ModelRelease:
        plan = compile_spec(spec, self.tables, self.setting)
        result = run(plan, Plain(), scan_all(plan, self.tables))
        assert result is not None
        return model_release(plan, result.values, released="2026-01-01T00:00:00Z", purpose="a test")
