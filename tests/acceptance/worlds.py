"""Small tables for the three bureaus, and started networks over them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lingqu.kinds.programs import Program
from lingqu.node.remote import Remote, expiry
from lingqu.node.replies import ContractView
from scenarios.census.network import BIG, CIVIL, HUMAN, Network, network, wait_until
from scenarios.census.prepare import check_character

SCENARIO = Path(__file__).resolve().parents[2] / "scenarios" / "census"
NAMES = (CIVIL, HUMAN, BIG)
PURPOSE = "acceptance"
ROWS = 300
SQL = """\
SELECT r.sex, COUNT(*) AS people, AVG(e.hours_per_week) AS hours
FROM "civil-affairs".residents r JOIN "human-resources".employment e ON r.person_id = e.person_id
WHERE r.age BETWEEN 20 AND 70 GROUP BY r.sex"""
TRAINING = json.dumps(
    {
        "tables": ["civil-affairs/residents", "human-resources/employment"],
        "on": [["person_id", "person_id"]],
        "label": {"table": "human-resources/employment", "column": "income", "positive": ">50K"},
        "features": [
            {"table": "civil-affairs/residents", "column": "age"},
            {"table": "human-resources/employment", "column": "hours_per_week"},
        ],
        "iterations": 2,
    }
)


@dataclass(frozen=True)
class World:
    """Both bureaus' rows in one place, for comparison only."""

    residents: pa.Table
    employment: pa.Table


def identity(generator: random.Random) -> str:
    """A valid identity number of nobody."""
    digits = f"110101{generator.randrange(1940, 2005)}{generator.randrange(1, 13):02}{generator.randrange(1, 29):02}"
    body = f"{digits}{generator.randrange(1, 1000):03}"
    return body + check_character(body)


def world(seed: int, shared: float, rows: int = ROWS) -> World:
    """The same people's answers for every seed; new identity numbers, and another share of people in both tables."""
    generator = random.Random(seed)
    residents = pq.read_table(SCENARIO / "residents.parquet").slice(0, rows)
    employment = pq.read_table(SCENARIO / "employment.parquet").slice(0, rows)
    numbers: list[str] = []
    while len(numbers) < 2 * rows:
        number = identity(generator)
        if number not in numbers:
            numbers.append(number)
    both = int(rows * shared)
    ours = numbers[:rows]
    theirs = ours[:both] + numbers[rows : 2 * rows - both]
    for ids in (ours, theirs):
        generator.shuffle(ids)
    place = residents.schema.get_field_index("person_id")
    residents = residents.set_column(place, "person_id", pa.array(ours))
    place = employment.schema.get_field_index("person_id")
    return World(residents, employment.set_column(place, "person_id", pa.array(theirs)))


@contextmanager
def paired(root: Path, data: World, record: Path | None = None) -> Iterator[Network]:
    """Three paired nodes whose bureaus have registered their tables."""
    root.mkdir(parents=True, exist_ok=True)
    pq.write_table(data.residents, root / "residents.parquet")
    pq.write_table(data.employment, root / "employment.parquet")
    with network(root, record) as net:
        net.pair_all()
        for bureau, name in ((CIVIL, "residents"), (HUMAN, "employment")):
            net[bureau].remote("manager").register(name, str(root / f"{name}.parquet"), title=name, key=["person_id"])
        analyst = net[BIG].remote("analyst")
        wait_until("the catalogue is complete", lambda: len(analyst.catalog()) == 2)
        yield net


def agreed(net: Network, program: Program, uses: int = 1) -> ContractView:
    """A contract over a program, in force at every node."""
    analyst = net[BIG].remote("analyst")
    contract = analyst.propose(
        program, title="acceptance", purpose=PURPOSE, minimum_group=10, uses=uses, expires=expiry("1d")
    )
    for owner in (CIVIL, HUMAN):
        net.approve(owner, contract.id)
    net.wait_in_force(contract.id)
    return contract


def answered(remote: Remote, contract: ContractView) -> Any:
    """One run to its end; its released result."""
    job = remote.follow(remote.start(contract.id, PURPOSE).id).checked()
    return remote.result(job.id)
