"""A table in PostgreSQL, registered and queried through real nodes; its password is found nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from tests.acceptance.tiny import NAMES, SECRETS, Tiny, tiny
from tests.fixtures.postgres import postgres_server

from scenarios.census.network import CIVIL, HUMAN

PASSWORD = "k9-geheim-4711"
ROWS = 24
QUERY = (
    'SELECT COUNT(*) AS n, SUM(w.hours) AS h FROM "civil-affairs".people p JOIN "human-resources".work w ON p.id = w.id'
)


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URL of a server that asks `reader` for a password, without one in it."""
    with postgres_server() as url:
        with psycopg.connect(url, autocommit=True) as admin:
            [(rules,)] = admin.execute("SHOW hba_file").fetchall()
            admin.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
            admin.execute("CREATE TABLE work (id text, hours int)")
            admin.execute("INSERT INTO work SELECT 'p' || i, 40 + i % 2 FROM generate_series(1, 24) i")
            admin.execute("CREATE TABLE locked (id text)")
            admin.execute("CREATE TABLE twice (id text)")
            admin.execute(f"INSERT INTO twice SELECT '{SECRETS[0]}' FROM generate_series(1, 2)")
            admin.execute("GRANT SELECT ON work, twice TO reader")
            path = Path(rules)
            path.write_text(f"host all reader 127.0.0.1/32 scram-sha-256\n{path.read_text()}")
            admin.execute("SELECT pg_reload_conf()")
        yield url


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    with tiny(tmp_path_factory.mktemp("postgres")) as made:
        people = "id\n" + "".join(f"p{i}\n" for i in range(1, ROWS + 1))
        made.register(CIVIL, "people", people, key=["id"])
        yield made


def source(database: str, password: str, relation: str = "public.work") -> str:
    return database.replace("postgres@", f"reader:{password}@") + f"#{relation}"


def register(nodes: Tiny, text: str) -> tuple[int, dict[str, str]]:
    code, document = nodes.lingqu(HUMAN, "register", "work", text, "--key", "id")
    assert PASSWORD not in str(document)
    return code, document


def test_a_database_that_does_not_let_us_in(nodes: Tiny, database: str) -> None:
    wrong = f"{PASSWORD}-wrong"
    code, error = register(nodes, source(database, wrong))
    assert (code, error["code"]) == (1, "unavailable")
    assert "cannot be reached" in error["cause"]
    assert "password" in error["cure"]
    code, error = register(nodes, f"postgresql://reader:{PASSWORD}@127.0.0.1:1/postgres#public.work")
    assert (code, error["code"]) == (1, "unavailable")
    assert "127.0.0.1:1" in error["cause"]


@pytest.mark.parametrize("relation", ["public.nowhere", "nowhere.work", "locked", "select%20nothing%20from%20work"])
def test_a_table_that_is_not_there_or_not_ours(nodes: Tiny, database: str, relation: str) -> None:
    code, error = register(nodes, source(database, PASSWORD, relation))
    assert (code, error["code"]) == (1, "bad-input")
    assert "SQLSTATE" in error["cause"]
    assert "SELECT" in error["cure"]


def test_a_table_without_a_name_and_one_without_a_key(nodes: Tiny, database: str) -> None:
    code, error = register(nodes, source(database, PASSWORD).partition("#")[0])
    assert (code, error["code"]) == (1, "bad-input")
    assert "#schema.table" in error["cure"]
    code, error = register(nodes, source(database, PASSWORD, "twice"))
    assert (code, error["code"]) == (1, "bad-input")
    assert "1 of 2 rows repeat" in error["cause"]


def test_a_query_over_a_database_and_what_happens_when_it_changes(nodes: Tiny, database: str) -> None:
    code, asset = register(nodes, source(database, PASSWORD))
    assert (code, asset["rows"]) == (0, ROWS)  # type: ignore[comparison-overlap]
    contract = nodes.agreed(QUERY)
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("UPDATE work SET hours = hours + 1 WHERE id = 'p3'")
        error = nodes.failure(nodes.run(contract))
        assert (error.code, error.party) == ("table-changed", HUMAN)
        admin.execute("UPDATE work SET hours = hours - 1 WHERE id = 'p3'")  # rows have no order: the same table again
        admin.execute("ALTER ROLE reader NOLOGIN")
        error = nodes.failure(nodes.run(contract))
        assert (error.code, error.party) == ("unavailable", HUMAN)
        admin.execute("ALTER ROLE reader LOGIN")
    job = nodes.run(contract).checked()
    assert nodes.analyst.result(job.id).table() == [(ROWS, 40 * ROWS + ROWS // 2)]


def test_the_password_is_in_the_owners_database_alone(nodes: Tiny) -> None:
    """The node needs it for every run; nothing that a person or a peer reads has it."""
    for place, content in nodes.places():
        if f"/{HUMAN}/lingqu.db" not in place:
            assert PASSWORD.encode() not in content, place
        assert SECRETS[0].encode() not in content, place
    database = nodes.net[HUMAN].home / "lingqu.db"
    assert database.stat().st_mode & 0o077 == 0
    for name in NAMES:
        code, shown = nodes.lingqu(name, "catalog")
        assert code == 0
        assert PASSWORD not in str(shown)
