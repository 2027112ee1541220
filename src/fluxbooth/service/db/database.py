"""The database: one engine a process, transactions that write at once or only read, and its
migrations."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.exc import InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.orm import Session

from fluxbooth import log
from fluxbooth.errors import FluxboothError
from fluxbooth.service.settings import Settings

ACCEPTED = "accepted"  # of a session's info: names of the jobs that its transaction asks for
MIGRATIONS = Path(__file__).parent / "migrations"
# connections to PostgreSQL that a process has for reading; for writing it has one
READING = 4
# of PostgreSQL's advisory locks: the right to write, and to migrate
WRITING, MIGRATING = 0x666C7578, 0x666C7579
# seconds after which PostgreSQL ends a transaction whose process says nothing, frozen or cut off:
# it may hold the right to write
IDLE = 20.0
# what a database raises that is taken, or away, or ended a transaction
BUSY = (OperationalError, InternalError, NoConnection)


class Database:
    """`patience` is how many seconds a writer waits for the one before it.

    One writes at a time, on PostgreSQL as on SQLite, so that what a transaction has looked up
    stays so until its end. Readers have one view of all rows for as long as they read.
    """

    def __init__(self, url: str, patience: float = 30.0) -> None:
        self.url = url
        if url.startswith("sqlite"):
            self.engine = sqlalchemy.create_engine(
                url, pool_size=20, max_overflow=20, json_deserializer=_read_json
            )
            event.listen(self.engine, "connect", functools.partial(_prepare_sqlite, patience))
            event.listen(self.engine, "begin", _begin_sqlite)
            self.reading = self.engine
            self.writing = self.engine.execution_options(immediate=True)
        else:
            self.engine = self.writing = _postgresql(url, 1, patience)
            # a writer sees what the one before it wrote, though it began to wait before that
            event.listen(self.writing, "begin", _begin_postgresql)
            self.reading = _postgresql(url, READING, patience).execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    def close(self) -> None:
        self.writing.dispose()
        self.reading.dispose()

    @contextlib.contextmanager
    def read(self) -> Generator[Session]:
        with Session(self.reading, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Generator[Session]:
        """A transaction that holds the right to write from its start, and is committed at its
        end."""
        with Session(self.writing, expire_on_commit=False) as session:
            with session.begin():
                yield session
            for job in session.info.get(ACCEPTED, ()):
                log.write("accepted", job=job)


def _postgresql(url: str, connections: int, patience: float) -> sqlalchemy.Engine:
    engine = sqlalchemy.create_engine(
        sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=patience,
        pool_pre_ping=True,  # the server may have been started anew
        json_deserializer=_read_json,
    )
    event.listen(engine, "connect", functools.partial(_prepare_postgresql, patience))
    return engine


def _prepare_postgresql(patience: float, connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {patience * 1000:.0f}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE * 1000:.0f}")
    connection.commit()  # the pool rolls back what is not


def _begin_postgresql(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITING})")


def _read_json(kept: str | bytes) -> Any:
    """The value of a column. Version 0.1.0 kept what no answer can say, numbers that are none and
    halves of characters: they are read as null and as a question mark."""
    text = kept if isinstance(kept, str) else kept.decode()
    value = json.loads(text, parse_constant=lambda _: None)
    if r"\ud" in text:
        value = json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
    return value


def _prepare_sqlite(patience: float, connection: Any, _: object) -> None:
    connection.isolation_level = None  # BEGIN is ours to say, in `_begin_sqlite`
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={patience * 1000:.0f}",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sqlalchemy.Connection) -> None:
    """Two readers that both turn writers would deadlock, so a writer says so first."""
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def is_full(error: OperationalError | sqlite3.OperationalError) -> bool:
    """Whether the database found no room on its disk."""
    # what a file system refuses in another way than by "full" (a quota, a limit of the process)
    # SQLite calls an I/O error
    cause = error.orig if isinstance(error, OperationalError) else error
    if str(getattr(cause, "sqlstate", "")) in ("53100", "58030"):  # PostgreSQL's words for both
        return True
    return str(getattr(cause, "sqlite_errorname", "")).startswith(("SQLITE_FULL", "SQLITE_IOERR"))


def migrate(settings: Settings) -> None:
    """Creates the schema, ours and the job engine's, or brings an older one up to date.

    Raises FluxboothError for a newer one.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError
    from dbos import DBOS

    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    logging.getLogger("dbos").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", settings.rows_url.replace("%", "%%"))
    with _alone(settings.rows_url):
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise FluxboothError(
                f"The database {settings.rows_place} is of a newer version: install that version "
                "of fluxbooth."
            ) from error
        DBOS.migrate(settings.rows_url)


@contextlib.contextmanager
def _alone(url: str) -> Generator[None]:
    """Keeps other processes from migrating PostgreSQL meanwhile; of SQLite, who writes waits."""
    if url.startswith("sqlite"):
        yield
        return
    engine = sqlalchemy.create_engine(
        sqlalchemy.make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=sqlalchemy.NullPool,
        isolation_level="AUTOCOMMIT",
    )
    with engine.connect() as connection:  # the lock goes with it
        connection.execute(text(f"SELECT pg_advisory_lock({MIGRATING})"))
        yield
