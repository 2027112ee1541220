"""Opening a data folder: a new one is made, an older one brought up to date, and what does not fit
together is refused.

A database without its secret, or one that is younger than the files beside it, is most often a
restore that went half-way. Served all the same, every key would be dead, and the sweep would take
the files of the missing rows for what nobody wants.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
from collections.abc import Generator

from sqlalchemy import text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.orm import Session

from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.files import write_whole
from fluxbooth.service.accounts import accounts
from fluxbooth.service.db import database
from fluxbooth.service.db.tables import Installation
from fluxbooth.service.files import reserve, row_folders
from fluxbooth.service.files.store import Store
from fluxbooth.service.settings import Settings

FOLDER = "folder-id"  # file of the data folder: what it calls itself
RESTORE = "`fluxbooth restore` makes a whole server of a backup"


def opened(settings: Settings) -> database.Database:
    """The database, with the newest schema.

    Raises InputError for a folder whose parts do not belong together.
    """
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    if settings.database_url:
        return _opened_postgresql(settings)
    store, new = Store(settings.data), not settings.database.exists()
    # SQLite reads nothing before it has made a file beside the database
    reserve.spend(store, lambda: _check_age(settings, store, new=new))
    if new and not _is_given(settings):
        # before the database, so that no kill leaves one without it
        accounts.new_pepper(settings.data)
    accounts.pepper(settings)
    db = reserve.spend(store, lambda: _migrated(settings))
    try:
        reserve.spend(store, lambda: _agree(settings, db))
    except BaseException:
        db.close()
        raise
    reserve.keep(store)
    return db


def _opened_postgresql(settings: Settings) -> database.Database:
    """Whoever is first makes secret, folder and database one installation."""
    store, db = Store(settings.data), _migrated(settings)
    try:
        with db.write() as session:
            new = session.get(Installation, 1) is None
            _check_files(settings, store, session, new=new)
            if new and not _is_given(settings):
                accounts.new_pepper(settings.data)
        _agree(settings, db)
        reserve.keep(store)
    except BaseException:
        db.close()
        raise
    return db


def _is_given(settings: Settings) -> bool:
    """Whether the secret comes from elsewhere than the data folder."""
    return settings.secret is not None or settings.secret_file is not None


def _agree(settings: Settings, db: database.Database) -> None:
    """Notes which secret and folder a database has. A host with another secret is kept out, for
    its keys would open nothing; one with another folder, for its files are not these.

    In SQLite, the folder goes with the database, and a secret of the folder may be written anew
    where the old one is lost.
    """
    folder = settings.data / FOLDER
    if not folder.exists():
        write_whole(folder, secrets.token_hex(16).encode())
    mine = accounts.fingerprint(accounts.pepper(settings)), folder.read_text()
    with db.read() as session:  # which a full disk allows
        row = session.get(Installation, 1)
        if row and (row.secret_fingerprint, row.folder) == mine:
            return
    beside = settings.data / accounts.SECRET
    others = {row.secret_fingerprint} if row else set[str]()
    if row is None and beside.exists():  # of a version that noted nothing
        others = {accounts.fingerprint(beside.read_bytes())}
    if others - {mine[0]} and (settings.database_url or _is_given(settings)):
        raise InputError(
            f"The keys of the database {settings.rows_place} were made with another secret: give "
            "this host that one by FLUXBOOTH_SECRET or FLUXBOOTH_SECRET_FILE, or name the data "
            "folder that has it."
        )
    if row and settings.database_url and row.folder != mine[1]:
        raise InputError(
            f"The files of the database {settings.rows_place} are in another data folder than "
            f"{settings.data}: name that one by FLUXBOOTH_DATA."
        )
    with db.write() as session:
        session.merge(Installation(id=1, secret_fingerprint=mine[0], folder=mine[1]))


def check(settings: Settings) -> None:
    """Reads through the database. Raises FluxboothError if it is damaged; PostgreSQL sees to that
    itself."""
    if settings.database_url:
        return
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
        if settings.database_url and isinstance(error, OperationalError):
            why = " ".join(str(cause).split())
            raise FluxboothError(
                f"The database {settings.rows_place} does not answer as it should ({why}): see "
                "that it runs, and that FLUXBOOTH_DATABASE_URL is right."
            ) from error
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
    db = database.Database(settings.rows_url)
    try:
        with db.read() as session:  # has its file now, before the reserve takes the room again
            session.execute(text("SELECT 1 FROM alembic_version"))
    except DatabaseError:
        db.close()
        raise
    return db


def _check_age(settings: Settings, store: Store, *, new: bool) -> None:
    for kind in (kind.__tablename__ for kind in row_folders.KINDS):
        # a request that was killed leaves the folder of the very next row
        most = 0 if new else _given(settings, kind) + 1
        _check_folders(settings, store, kind, most, new=new)


def _check_files(settings: Settings, store: Store, session: Session, *, new: bool) -> None:
    """As `_check_age`, on PostgreSQL, where an id that was rolled back is not given again."""
    for kind in (kind.__tablename__ for kind in row_folders.KINDS):
        given = session.scalar(text(f"SELECT last_value FROM {kind}_id_seq")) or 0
        _check_folders(settings, store, kind, 0 if new else given, new=new)


def _check_folders(settings: Settings, store: Store, kind: str, most: int, *, new: bool) -> None:
    found = row_folders.newest(store, kind)
    if found > most:
        raise InputError(
            f"The database {settings.rows_place} "
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
