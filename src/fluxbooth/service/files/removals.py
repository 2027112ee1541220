"""Single files that go while the row of their folder stays: told in the transaction that gives them
up, so that a kill before they are gone leaves nothing."""

from __future__ import annotations

from pathlib import PurePosixPath

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Removal
from fluxbooth.service.files import inventory
from fluxbooth.service.files.store import Store


def give_up(session: Session, key: str) -> list[str]:
    """The keys to remove once this is committed: a picture, and its small copy if it has one."""
    session.add(Removal(key=key))
    return _with_thumb(key)


def sweep(db: Database, store: Store) -> None:
    """Removes what a kill left."""
    with db.read() as session:
        rows = session.scalars(select(Removal)).all()
    if not rows:
        return
    for key in (key for row in rows for key in _with_thumb(row.key)):
        store.remove(key)
    with db.write() as session:
        session.execute(delete(Removal).where(Removal.id.in_([row.id for row in rows])))


def _with_thumb(key: str) -> list[str]:
    return [key, str(PurePosixPath(key).with_suffix(inventory.THUMB))]
