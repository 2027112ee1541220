"""Opening a data folder: a new one is made, an older one brought up to date, and what does not fit
together is refused.

A database without its secret, or one that is younger than the files beside it, is most often a
restore that went half-way. Served all the same, every key would be dead, and the sweep would take
the files of the missing rows for what nobody wants.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Generator

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, OperationalError

from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.service.accounts import accounts
from fluxbooth.service.db import database
from fluxbooth.service.files import reserve, row_folders
from fluxbooth.service.files.store import Store
from fluxbooth.service.settings import Settings

RESTORE = "`fluxbooth restore` makes a whole server of a backup"


def opened(settings: Settings) -> database.Database:
    """The database, with the newest schema.

    Raises InputError for a folder whose parts do not belong together.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    store, new = Store(settings.data), not settings.database.exists()
    # SQLite reads nothing before it has made a file beside the database
    reserve.spend(store, lambda: _check_age(settings, store, new=new))
    if new:
        # before the database, so that no kill leaves one without it
        accounts.new_pepper(settings.data)
    accounts.pepper(settings.data)
    db = reserve.spend(store, lambda: _migrated(settings))
    reserve.keep(store)
    return db


def check(settings: Settings) -> None:
    """Reads through the database. Raises FluxboothError if it is damaged."""
    with contextlib.closing(sqlite3.connect(settings.database)) as connection:
        if (said := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _damaged(settings, said)


@contextlib.contextmanager
def faults_said(settings: Settings) -> Generator[None]:
    """Whatever disk and database refuse is said in a sentence: FluxboothError."""
    try:
        yield
    except (DatabaseError, sqlite3.DatabaseError) as error:
        cause = error.orig if isinstance(error, DatabaseError) else error
        name = str(getattr(cause, "sqlite_errorname", ""))
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise _damaged(settings, str(cause)) from error
        if name.startswith("SQLITE_BUSY"):
            raise FluxboothError(f"The database {settings.database} is busy: try again.") from error
        if isinstance(error, OperationalError | sqlite3.OperationalError):
            raise _unwritable(settings, str(cause)) from error
        raise
    except OSError as error:
        raise _unwritable(settings, str(error.strerror).lower()) from error


def _migrated(settings: Settings) -> database.Database:
    database.migrate(settings)
    db = database.Database(settings.database_url)
    try:
        with db.read() as session:  # has its file now, before the reserve takes the room again
            session.execute(text("SELECT 1 FROM sqlite_master"))
    except DatabaseError:
        db.close()
        raise
    return db


def _check_age(settings: Settings, store: Store, *, new: bool) -> None:
    for kind in (kind.__tablename__ for kind in row_folders.KINDS):
        found = row_folders.newest(store, kind)
        # a request that was killed leaves the folder of the very next row
        if found > (0 if new else _given(settings, kind) + 1):
            raise InputError(
                f"The database {settings.database} "
                f"{'is missing' if new else 'is younger than its files'}: {store.path(kind)} holds "
                f"files of row {found}, which it never had. Put back the database that belongs to "
                f"them ({RESTORE}), or move the files away."
            )


def _given(settings: Settings, table: str) -> int:
    """The highest id that was ever given to a row."""
    with contextlib.closing(sqlite3.connect(settings.database)) as connection:
        if (
            connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"
            ).fetchone()
            is None
        ):
            return 0
        row = connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
        ).fetchone()
    return row[0] if row else 0


def _damaged(settings: Settings, how: str) -> FluxboothError:
    told = " ".join(how.split())
    return FluxboothError(
        f"The database {settings.database} is damaged ({told}): put back a copy of it; {RESTORE}."
    )


def _unwritable(settings: Settings, why: str) -> FluxboothError:
    return FluxboothError(
        f"The folder {settings.data} cannot be written to ({why}): make room on its disk, see that "
        "you may write there, or name another by --data."
    )
