"""Room on the disk that is set aside, so that on a full one, where nothing can be kept any
more, things can still be deleted."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeVar

from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from fluxbooth import files
from fluxbooth.service.db import database
from fluxbooth.service.db.database import Database
from fluxbooth.service.files.store import Store
from fluxbooth.service.settings import MB

T = TypeVar("T")
# a file beside the database; what the rows of a deletion take, many times over
RESERVE, SIZE = "reserve", 4 * MB
BLOCK = MB // 16


def keep(store: Store) -> None:
    """Sets the room aside; on a full disk, as much of it as there is."""
    path = store.folder.parent / RESERVE
    if path.exists() and path.stat().st_size == SIZE:
        return
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(SIZE // BLOCK):
                file.write(os.urandom(BLOCK))  # of zeros a disk may keep no more than their number
            os.fsync(file.fileno())
    except OSError as error:
        if not files.is_full(error):
            raise


def spend(store: Store, work: Callable[[], T]) -> T:
    """Does what makes room. On a full disk it is done once more, in the room that was set aside."""
    try:
        return work()
    except (OperationalError, sqlite3.OperationalError, OSError) as error:
        if not _is_full(error):
            raise
    (store.folder.parent / RESERVE).unlink(missing_ok=True)
    return work()


def _is_full(error: OperationalError | sqlite3.OperationalError | OSError) -> bool:
    return files.is_full(error) if isinstance(error, OSError) else database.is_full(error)


def delete(db: Database, store: Store, hide: Callable[[Session], Iterable[str]]) -> None:
    """Commits a deletion, and then removes the files whose keys `hide` returns."""

    def committed() -> list[str]:
        with db.write() as session:
            return list(hide(session))

    for key in spend(store, committed):
        store.remove(key)
    keep(store)
