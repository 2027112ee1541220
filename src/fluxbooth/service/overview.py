"""The operator's overview of a server: what waits, whether somebody works on it, the disk, what
failed lately."""

from __future__ import annotations

import datetime
import fcntl
import shutil
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxbooth.service.db.tables import Prompt, Tune
from fluxbooth.service.prompts import prompts
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import tunes

FAILURES = FLAGGED = 20


@dataclass(frozen=True)
class Failure:
    what: str  # `tune 7`
    when: datetime.datetime
    reason: str


@dataclass(frozen=True)
class Flagged:
    """What has a picture that looks explicit."""

    what: str
    when: datetime.datetime
    account: int


@dataclass(frozen=True)
class Overview:
    """Counts are of all accounts; sizes are bytes."""

    training: int
    tunes_waiting: int
    prompts_waiting: int
    engine_runs: bool
    disk_free: int
    disk_total: int
    failures: list[Failure]
    flagged: list[Flagged]


def overview(session: Session, settings: Settings) -> Overview:
    begun, waiting, prompts = (
        session.scalar(select(func.count()).where(*which)) or 0
        for which in (
            (Tune.is_open, Tune.started_training_at.is_not(None)),
            (Tune.is_open, Tune.started_training_at.is_(None)),
            (Prompt.is_open, Prompt.enqueued),
        )
    )
    disk = shutil.disk_usage(settings.data)
    return Overview(
        begun,
        waiting,
        prompts,
        engine_runs(settings.data),
        disk.free,
        disk.total,
        _failures(session),
        _flagged(session),
    )


def engine_runs(data: Path) -> bool:
    """Whether an engine process holds the lock of the data folder."""
    with (data / "engine.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _failures(session: Session) -> list[Failure]:
    trainings = session.scalars(
        select(Tune)
        .where(Tune.failed_at.is_not(None), Tune.user_error != tunes.CANCELLED)
        .order_by(Tune.failed_at.desc())
        .limit(FAILURES)
    )
    drawings = session.scalars(
        select(Prompt)
        .where(
            Prompt.trained_at.is_not(None),
            Prompt.user_error.is_not(None),
            ~Prompt.user_error.startswith(prompts.CANCELLED),
        )
        .order_by(Prompt.trained_at.desc())
        .limit(FAILURES)
    )
    found = [
        Failure(f"tune {row.id}", row.failed_at, row.user_error or "")
        for row in trainings
        if row.failed_at
    ]
    found += [
        Failure(f"prompt {row.id}", row.trained_at, row.user_error or "")
        for row in drawings
        if row.trained_at
    ]
    return sorted(found, key=lambda failure: failure.when, reverse=True)[:FAILURES]


def _flagged(session: Session) -> list[Flagged]:
    found = [
        Flagged(f"{name} {row.id}", row.created_at, row.account_id)
        for name, kind in (("tune", Tune), ("prompt", Prompt))
        for row in session.scalars(
            select(kind).where(kind.flagged).order_by(kind.id.desc()).limit(FLAGGED)
        )
    ]
    return sorted(found, key=lambda row: row.when, reverse=True)[:FLAGGED]
