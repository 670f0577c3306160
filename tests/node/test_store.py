"""The store on SQLite and PostgreSQL: migrations, constraints, rollback, full disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from lingqu.kinds.errors import BadInput, Unavailable
from lingqu.node.store import Store
from lingqu.node.store.models import Agreement, Base, Job, Result, Seen, Use, UseState

CONTRACT = "sha256:" + "0" * 64


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'lingqu.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    opened = Store(url)
    opened.migrate()
    yield opened
    with opened.write() as session:
        for table in reversed(Base.metadata.sorted_tables):
            session.execute(table.delete())
    opened.close()


def job(identifier: str) -> Job:
    return Job(
        id=identifier,
        contract=CONTRACT,
        plan=CONTRACT,
        coordinator="big-data",
        offer="{}",
        state="running",
        steps="[]",
        created="2026-01-01T00:00:00Z",
    )


def agree(store: Store) -> None:
    with store.write() as session:
        session.add(Agreement(id=CONTRACT, terms="{}", token="t", created="2026-01-01T00:00:00Z"))


def test_migrations_make_the_tables_of_the_models(store: Store) -> None:
    store.migrate()  # a second time changes nothing
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_a_result_is_stored_once_and_a_use_has_one_of_three_states(store: Store) -> None:
    agree(store)
    with store.write() as session:
        session.add(job("a" * 32))
        session.flush()
        session.add(Result(job="a" * 32, document="{}", digest=CONTRACT, at="2026-01-01T00:00:00Z"))
        session.add(Use(job="a" * 32, contract=CONTRACT, state=UseState.RESERVED.value))
    with pytest.raises(IntegrityError), store.write() as session:
        session.add(Result(job="a" * 32, document="{ }", digest=CONTRACT, at="2026-01-01T00:00:00Z"))
    with pytest.raises(IntegrityError), store.write() as session:
        session.get_one(Use, "a" * 32).state = "borrowed"
    with pytest.raises(IntegrityError), store.write() as session:  # foreign keys hold on SQLite, too
        session.add(Use(job="b" * 32, contract="sha256:" + "1" * 64, state=UseState.RESERVED.value))


def test_a_block_that_fails_changes_nothing_and_calls_undo(store: Store) -> None:
    undone: list[int] = []

    def interrupted() -> None:
        with store.write() as session:
            session.info["undo"] = [lambda: undone.append(1)]
            session.add(Seen(jti="x", issuer="a", iat=1))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    with store.read() as session:
        assert session.scalars(select(Seen)).all() == []
    assert undone == [1]


def test_sqlite_is_durable(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'lingqu.db'}")
    store.migrate()
    with store.read() as session:
        pragmas = [session.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous", "foreign_keys")]
    store.close()
    assert pragmas == ["wal", 2, 1]


def test_a_full_disk_is_named_with_its_path_and_nothing_is_half_written(tmp_path: Path) -> None:
    path = tmp_path / "lingqu.db"
    store = Store(f"sqlite:///{path}")
    store.migrate()
    with store.engine.connect() as connection:  # the one pooled connection may not grow the file any more
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
    rows = [Seen(jti=f"{number:064d}", issuer="a", iat=1) for number in range(2000)]
    with pytest.raises(Unavailable, match=r"full") as caught, store.write() as session:
        session.add_all(rows)
    assert str(path) in caught.value.cause
    assert "Free space" in caught.value.cure
    with store.read() as session:
        assert session.scalars(select(Seen)).all() == []
    store.close()


def test_a_database_that_is_away_or_no_database_is_named(tmp_path: Path) -> None:
    away = Store("postgresql://lingqu@127.0.0.1:1/lingqu")
    with pytest.raises(Unavailable, match="does not answer"):
        away.migrate()
    away.close()
    with pytest.raises(BadInput, match="URL"):
        Store("nonsense")
    missing = Store(f"sqlite:///{tmp_path / 'no' / 'lingqu.db'}")
    with pytest.raises(Unavailable, match="cannot be opened"):
        missing.migrate()
    missing.close()
