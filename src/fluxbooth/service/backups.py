"""A backup is one moment of rows and files, made beside a server that goes on deleting.

Files get second names first, so that they can be copied at leisure however soon they are deleted.
The rows are copied while nobody may write, and only what they name then is copied.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.accounts import accounts
from fluxbooth.service.contract import responses
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Account, Prompt, Tune, now
from fluxbooth.service.files import inventory
from fluxbooth.service.files.pins import pinned
from fluxbooth.service.files.store import Store
from fluxbooth.service.settings import Settings
from fluxbooth.types import Json

# of a backup: whose photos and pictures it has, and until when the server would have kept them
HOLDS = "holds.json"
LIST = "backups.jsonl"  # of a data folder: where its backups went


def make(settings: Settings, db: Database, store: Store, out: Path) -> Json:
    """Makes a backup in an empty folder; how many files and bytes it has, and how many files
    were missing already. OSError."""
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    (out / "files").mkdir(exist_ok=True)
    with pinned(store) as pins:
        with db.read() as session:  # most of them, while everything goes on
            for key in _named(session, store):
                pins.add(key)
        with db.write() as session:
            keys = list(_named(session, store))
            missing = [key for key in keys if not pins.add(key)]
            holds = _holds(session)
            rows = pins.folder / settings.database.name
            _copy_rows(settings.database, rows)
        for key in sorted(set(keys) - set(missing)):
            target = out / "files" / key
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(pins.path(key), target)
        accounts.write_secret(out / accounts.SECRET, accounts.pepper(settings))
        (out / HOLDS).write_text(json.dumps(holds, indent=1))
        with (settings.data / LIST).open("a") as known:
            known.write(json.dumps({"made_at": holds["made_at"], "path": str(out)}) + "\n")
        shutil.copy2(rows, out / rows.name)  # last, for without it nothing is taken for a backup
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {"files": len(keys) - len(missing), "missing": len(missing), "bytes": size}


def holding(settings: Settings, account_id: int) -> list[Json]:
    """The backups, as far as they are still where they were made, that hold something of an
    account: path, made_at, expires_at."""
    known, found = settings.data / LIST, list[Json]()
    for line in known.read_text().splitlines() if known.exists() else ():
        path = Path(json.loads(line)["path"])
        holds: Json = (
            json.loads((path / HOLDS).read_text()) if (path / HOLDS).is_file() else {"accounts": []}
        )
        for account in holds["accounts"]:
            if account["id"] == account_id:
                found.append(
                    {
                        "path": str(path),
                        "made_at": holds["made_at"],
                        "expires_at": account["expires_at"],
                    }
                )
    return found


def _named(session: Session, store: Store) -> Iterator[str]:
    kept = (
        inventory.of_tunes(session, Tune.deleted_at.is_(None)),
        inventory.of_prompts(session, Prompt.deleted_at.is_(None)),
    )
    return inventory.with_captions(store, chain(*kept))


def _copy_rows(database: Path, copy: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(database)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def _holds(session: Session) -> Json:
    """By account its tunes, with the time at which each would be deleted (None: never by
    itself), and the last of these times."""
    found: list[Json] = []
    for account in session.scalars(
        select(Account).where(Account.deleted_at.is_(None)).order_by(Account.id)
    ):
        tunes = session.scalars(
            select(Tune)
            .where(Tune.account_id == account.id, Tune.deleted_at.is_(None))
            .order_by(Tune.id)
        ).all()
        prompts = (
            select(Prompt.id)
            .where(Prompt.account_id == account.id, Prompt.deleted_at.is_(None))
            .order_by(Prompt.id)
        )
        ends = [tune.expires_at for tune in tunes]
        found.append(
            {
                "id": account.id,
                "name": account.name,
                "expires_at": responses.time(max(end for end in ends if end))
                if ends and all(ends)
                else None,
                "tunes": [
                    {"id": tune.id, "expires_at": responses.time(tune.expires_at)} for tune in tunes
                ],
                "prompts": list(session.scalars(prompts)),
            }
        )
    return {"made_at": responses.time(now()), "accounts": found}
