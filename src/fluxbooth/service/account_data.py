"""Everything that an account owns: to hand it out, and to remove it. Both follow the one list,
`owned`."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from sqlalchemy import ColumnElement, and_, delete, inspect, select, update
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.service.billing import ledger
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.db.checkpoint_tables import Checkpoint, Sample
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import (
    Account,
    ApiKey,
    Callback,
    Idempotency,
    Image,
    Link,
    Movement,
    Order,
    Pack,
    Photo,
    Prompt,
    Row,
    Template,
    Tune,
    Use,
    WebSession,
    now,
)
from fluxbooth.service.files import inventory, row_folders
from fluxbooth.service.files.pins import pinned
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.prompts import ending

# columns that open something; what callbacks are signed with is the account's to know
SECRETS = ("digest", "password")
AT_ONCE = 500


def owned(account_id: int) -> list[tuple[type[Row], ColumnElement[bool]]]:
    """Each table with what belongs to the account, rows that refer to others before those."""
    tunes = select(Tune.id).where(Tune.account_id == account_id)
    prompts = select(Prompt.id).where(Prompt.account_id == account_id)
    packs = select(Pack.id).where(Pack.account_id == account_id)
    checkpoints = select(Checkpoint.id).where(Checkpoint.tune_id.in_(tunes))
    return [
        (Sample, Sample.checkpoint_id.in_(checkpoints)),
        (Checkpoint, Checkpoint.tune_id.in_(tunes)),
        (Callback, Callback.account_id == account_id),
        (Use, Use.prompt_id.in_(prompts)),
        (Image, Image.prompt_id.in_(prompts)),
        (Photo, Photo.tune_id.in_(tunes)),
        (Template, Template.pack_id.in_(packs)),
        (Order, Order.account_id == account_id),
        (Prompt, Prompt.account_id == account_id),
        (Tune, Tune.account_id == account_id),
        (Pack, Pack.account_id == account_id),
        (Idempotency, Idempotency.account_id == account_id),
        (Link, Link.account_id == account_id),
        (WebSession, WebSession.account_id == account_id),
        (ApiKey, ApiKey.account_id == account_id),
    ]


class Sink(Protocol):
    """Where an export goes."""

    def lines(self, name: str, lines: Iterable[str]) -> None: ...

    def file(self, name: str, source: Path) -> None: ...


class Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lines(self, name: str, lines: Iterable[str]) -> None:
        with self._path(name).open("w") as out:
            out.writelines(line + "\n" for line in lines)

    def file(self, name: str, source: Path) -> None:
        shutil.copy2(source, self._path(name))

    def _path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


class Zip:
    """Written from front to back, so that it may go down a pipe.

    Pictures and weights do not get smaller: nothing is compressed.
    """

    def __init__(self, out: BinaryIO) -> None:
        self.zip = zipfile.ZipFile(out, "w")

    def lines(self, name: str, lines: Iterable[str]) -> None:
        with self.zip.open(name, "w", force_zip64=True) as out:
            for line in lines:
                out.write(f"{line}\n".encode())

    def file(self, name: str, source: Path) -> None:
        self.zip.write(source, name)

    def close(self) -> None:
        self.zip.close()


def export(db: Database, store: Store, account_id: int, sink: Sink) -> int:
    """Hands out all rows as `rows/TABLE.jsonl` and all files under `files/`, as of one moment,
    whatever is deleted meanwhile; how many files.

    Raises InputError for an account that is deleted by then.
    """
    with pinned(store) as pins, db.read() as session:
        with db.read() as before:  # most of them, while everything goes on
            for key in _files(before, store, account_id):
                pins.add(key)
        with db.write():  # nothing is deleted while the moment begins that `session` sees
            keys = [key for key in _files(session, store, account_id) if pins.add(key)]
            if session.get_one(Account, account_id).deleted_at is not None:
                raise InputError(f"Account {account_id} has just been deleted.")
        for row, mine in [
            (Account, Account.id == account_id),
            (Movement, Movement.account_id == account_id),
            *owned(account_id),
        ]:
            found = session.scalars(
                select(row).where(mine).order_by(*inspect(row).primary_key),
                execution_options={"yield_per": AT_ONCE},
            )
            sink.lines(
                f"rows/{row.__tablename__}.jsonl", (json.dumps(_values(one)) for one in found)
            )
        for key in keys:
            sink.file(f"files/{key}", pins.path(key))
    return len(keys)


def close(session: Session, account: Account, price_list: Prices) -> None:
    """The account is over from this transaction on: nothing of it is shown or done, and what it
    held for work that was not done is given back.

    `purge` removes it.
    """
    account.deleted_at = account.disabled_at = now()
    for tune in session.scalars(select(Tune).where(_of(Tune, account.id))):
        if tune.trained_at is None:
            ledger.refund(session, tune)
        tune.deleted_at = now()
    for prompt in session.scalars(select(Prompt).where(_of(Prompt, account.id))):
        ending.take_away(session, price_list, prompt)


def purge(db: Database, store: Store, jobs: JobEngine, account_id: int) -> None:
    """Removes all files and rows of a closed account but its number and its ledger, which name
    nobody. May be repeated after a kill."""
    with db.read() as session:
        rows = [
            row
            for kind in row_folders.KINDS
            for row in session.scalars(select(kind).where(kind.account_id == account_id))
        ]
    for row in rows:
        store.remove(row.folder)
    shutil.rmtree(store.drafts / str(account_id), ignore_errors=True)
    with db.write() as session:
        packs = select(Pack.id).where(Pack.account_id == account_id)
        session.execute(update(Order).where(Order.pack_id.in_(packs)).values(pack_id=None))
        for row, mine in owned(account_id):
            session.execute(delete(row).where(mine))
        session.execute(
            update(Account)
            .where(Account.id == account_id)
            .values(name="", webhook_secret="", webhook_secret_before=None, password=None)
        )
    jobs.forget([row.job for row in rows])


def purge_closed(db: Database, store: Store, jobs: JobEngine) -> None:
    """Finishes what a kill interrupted."""
    with db.read() as session:
        left = session.scalars(
            select(Account.id).where(Account.deleted_at.is_not(None), Account.name != "")
        ).all()
    for account_id in left:
        purge(db, store, jobs, account_id)


def _files(session: Session, store: Store, account_id: int) -> Iterator[str]:
    tunes = inventory.of_tunes(session, _of(Tune, account_id))
    prompts = inventory.of_prompts(session, _of(Prompt, account_id))
    return inventory.with_captions(store, chain(tunes, prompts))


def _of(kind: row_folders.Kind, account_id: int) -> ColumnElement[bool]:
    return and_(kind.account_id == account_id, kind.deleted_at.is_(None))


def _values(row: Row) -> dict[str, Any]:
    columns = {
        column.key: getattr(row, column.key)
        for column in inspect(type(row)).column_attrs
        if column.key not in SECRETS
    }
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in columns.items()
    }
