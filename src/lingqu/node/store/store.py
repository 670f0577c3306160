"""Transactions on the node's database, SQLite by default and PostgreSQL by URL."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.orm import Session

from lingqu.kinds.errors import BadInput, Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_MILLISECONDS = 10_000


class Store:
    """One database.  Writes are serialised in this process; a node's home has one process (`serve.Lock`).

    SQLite runs with a write-ahead log, foreign keys and `synchronous=FULL`: a committed use or ledger entry
    survives a power cut.  Unavailable when the disk is full or the database is away.
    """

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
            if self._url.drivername == "postgresql":
                self._url = self._url.set(drivername="postgresql+psycopg")
            # Without hide_parameters an unforeseen error would carry results and password hashes into the log.
            sqlite = self._url.drivername == "sqlite"
            self.engine = create_engine(self._url, pool_pre_ping=not sqlite, hide_parameters=True)
            if sqlite and self._url.database:
                _make_private(Path(self._url.database))
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
            raise BadInput(
                f"The store's URL cannot be used ({type(error).__name__}).",
                "Give sqlite:///file or postgresql://user@host/database (install lingqu[postgres] for the latter).",
            ) from None
        if self.engine.dialect.name == "sqlite":
            _prepare_sqlite(self.engine)
        self._writing = threading.RLock()

    @property
    def place(self) -> str:
        """Where the data lie, without a password: a path for SQLite, a URL otherwise."""
        if self.engine.dialect.name == "sqlite":
            return str(self._url.database)
        return self._url.render_as_string(hide_password=True)

    def migrate(self) -> None:
        """Bring the database to this version's tables."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        with self._writing, self._faults(), self.engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading: one consistent view."""
        with self._faults(), Session(self.engine, expire_on_commit=False) as session:
            session.connection(execution_options={"lingqu_reading": True})
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end of the block, durably, or changes nothing.

        Functions in `session.info["undo"]` are called when the transaction fails, those in `session.info["done"]` once
        it is committed.
        """
        with self._writing, self._faults(), Session(self.engine, expire_on_commit=False) as session:
            try:
                with session.begin():
                    yield session
            except BaseException:
                for undo in session.info.get("undo", ()):
                    undo()
                raise
        for done in session.info.get("done", ()):
            done()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            explained = self._explained(error)
            if explained is None:
                raise
            raise explained from error

    def _explained(self, error: DBAPIError) -> Unavailable | None:
        reason = str(error.orig).lower()
        state = getattr(error.orig, "sqlstate", None)
        if "disk is full" in reason or "disk i/o" in reason or state == "53100":
            return Unavailable(
                f"The disk that holds {self.place} is full or cannot be written: {error.orig}.",
                "Free space there or move the node's home, then try again; nothing was half written.",
            )
        if "readonly" in reason or "unable to open" in reason:
            return Unavailable(
                f"The database {self.place} cannot be opened for writing: {error.orig}.",
                "Check that its folder exists and belongs to the user who runs the node.",
            )
        if "locked" in reason or error.connection_invalidated or "connect" in reason or "connection" in reason:
            return Unavailable(
                f"The database {self.place} does not answer: {str(error.orig).splitlines()[0]}.",
                "Start it or free it, then try again.",
            )
        return None


def _make_private(path: Path) -> None:
    """Let nobody but the node's user read its memory; SQLite gives the journal files the database's own mode."""
    with suppress(OSError):  # a database that cannot be made is named when it is opened
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)


def _prepare_sqlite(engine: Engine) -> None:
    """Take over transactions from the driver, which would begin them too late, and set the durable pragmas."""

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={BUSY_MILLISECONDS}",
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get("lingqu_reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
