"""What goes by itself: tunes some days after their training, with the pictures of them; what is
left of closed accounts; drafts that nobody made a tune of; files that no row has."""

from __future__ import annotations

import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service import account_data
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Prompt, Tune
from fluxbooth.service.files import removals, row_folders
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.prompts import ending
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import photo_drafts


def expires_at(
    settings: Settings, trained_at: datetime.datetime, *, auto_extend: bool
) -> datetime.datetime | None:
    """When a tune that was trained then goes; None if it stays."""
    return None if auto_extend else trained_at + datetime.timedelta(days=settings.expiry_days)


def sweep(db: Database, store: Store, jobs: JobEngine, moment: datetime.datetime) -> None:
    """Deletes what has expired at that moment, and every file that no row has, as kills leave
    them."""
    account_data.purge_closed(db, store, jobs)
    with db.write() as session:
        _expire(session, jobs, moment)
    row_folders.sweep(db, store)
    removals.sweep(db, store)
    store.sweep()
    photo_drafts.sweep(db, store, moment)


def _expire(session: Session, jobs: JobEngine, moment: datetime.datetime) -> None:
    due = select(Tune).where(
        Tune.expires_at < moment, Tune.auto_extend.is_(False), Tune.deleted_at.is_(None)
    )
    for tune in session.scalars(due).all():
        tune.deleted_at = moment
        for prompt in session.scalars(
            select(Prompt).where(Prompt.uses.any(tune_id=tune.id), Prompt.deleted_at.is_(None))
        ):
            ending.take_away(session, jobs.settings.prices, prompt)
        session.flush()
        jobs.settle(session, tune.account_id)
