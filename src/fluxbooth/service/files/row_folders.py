"""The folder of a row's files: made in the row's transaction, gone with it, and swept where a kill
came between.

Files are in place before the row is certain, so that a row never lacks them. What a transaction
leaves that never ended is a folder whose name no row has, and no row ever will.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sqlalchemy import event, select
from sqlalchemy.orm import Session

from fluxbooth.service.db.columns import folder_name
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Prompt, Tune
from fluxbooth.service.files.store import Store

Kind = type[Tune] | type[Prompt]
KINDS: tuple[Kind, ...] = (Tune, Prompt)
NAME = re.compile(r"(\d{1,18})(?:-[0-9a-f]{32})?")  # ID-NONCE; of version 0.1.0, ID
AT_ONCE = 500


def make(session: Session, store: Store, row: Tune | Prompt) -> None:
    """A new folder for a row that has its id; it goes again if the transaction does not end
    well. FileExistsError if there is one."""
    folder = row.folder
    store.path(folder).mkdir(parents=True)

    def undo(_: Session) -> None:
        store.remove(folder)

    event.listen(session, "after_rollback", undo)


def sweep(db: Database, store: Store) -> None:
    """Removes every folder that belongs to no row, or to one that is deleted."""
    for kind in KINDS:
        with db.read() as session:
            suspects = _strays(session, kind, _names(store, kind))
        if not suspects:
            continue
        # who is about to commit its row holds the right to write: what is still a stray once we had
        # it was given up
        with db.write() as session:
            strays = _strays(session, kind, suspects)
        for name in strays:
            store.remove(f"{kind.__tablename__}/{name}")


def newest(store: Store, kind: str) -> int:
    """The highest id among the folders of a table; 0 without any."""
    return max(
        (int(match[1]) for name in _entries(store, kind) if (match := NAME.fullmatch(name))),
        default=0,
    )


def _names(store: Store, kind: Kind) -> list[str]:
    return [name for name in _entries(store, kind.__tablename__) if NAME.fullmatch(name)]


def _entries(store: Store, kind: str) -> Iterator[str]:
    folder = store.path(kind)
    return (path.name for path in folder.iterdir()) if folder.is_dir() else iter(())


def _strays(session: Session, kind: Kind, names: Sequence[str]) -> list[str]:
    kept = set[str]()
    for first in range(0, len(names), AT_ONCE):
        numbers = [int(name.partition("-")[0]) for name in names[first : first + AT_ONCE]]
        asked = select(kind.id, kind.nonce).where(kind.id.in_(numbers), kind.deleted_at.is_(None))
        kept |= {folder_name(number, nonce) for number, nonce in session.execute(asked)}
    return [name for name in names if name not in kept]
