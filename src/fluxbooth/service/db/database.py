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
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from fluxbooth import log
from fluxbooth.errors import FluxboothError
from fluxbooth.service.settings import Settings

ACCEPTED = "accepted"  # of a session's info: names of the jobs that its transaction asks for
MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """`patience` is how many seconds a writer waits for the one before it."""

    def __init__(self, url: str, patience: float = 30.0) -> None:
        self.url = url
        self.engine = sqlalchemy.create_engine(
            url, pool_size=20, max_overflow=20, json_deserializer=_read_json
        )
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", functools.partial(_prepare_sqlite, patience))
            event.listen(self.engine, "begin", _begin_sqlite)

    def close(self) -> None:
        self.engine.dispose()

    @contextlib.contextmanager
    def read(self) -> Generator[Session]:
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def write(self) -> Generator[Session]:
        """A transaction that holds the right to write from its start, and is committed at its
        end."""
        with Session(
            self.engine.execution_options(immediate=True), expire_on_commit=False
        ) as session:
            with session.begin():
                yield session
            for job in session.info.get(ACCEPTED, ()):
                log.write("accepted", job=job)


def _read_json(text: str) -> Any:
    """The value of a column. Version 0.1.0 kept what no answer can say, numbers that are none and
    halves of characters: they are read as null and as a question mark."""
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
    config.set_main_option("sqlalchemy.url", settings.database_url.replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise FluxboothError(
            f"The database {settings.database} is of a newer version: install that version "
            "of fluxbooth."
        ) from error
    DBOS.migrate(settings.database_url)
