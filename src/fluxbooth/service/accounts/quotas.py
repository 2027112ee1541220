"""Limits of what an account may have waiting, and stored.

Asked in the transaction that would add to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.service.db.checkpoint_tables import Checkpoint, Sample
from fluxbooth.service.db.tables import Account, Image, Photo, Prompt, Tune
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.settings import LEAST_PACE, MB, Settings

TRY_AGAIN = 30  # seconds
MOST_LIMIT = 10**9
TYPED = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)


def waiting(session: Session, account_id: int) -> int:
    """Trainings and prompts that are accepted and not over."""
    return sum(
        session.scalar(select(func.count()).where(kind.account_id == account_id, kind.is_open)) or 0
        for kind in (Tune, Prompt)
    )


def stored(session: Session, account_id: int) -> int:
    """Bytes of photos, LoRAs, checkpoints, pictures and those that they started from."""
    of_tunes, of_prompts = (
        (Tune.account_id == account_id, Tune.deleted_at.is_(None)),
        (Prompt.account_id == account_id, Prompt.deleted_at.is_(None)),
    )
    sums = (
        select(func.sum(Tune.lora_bytes)).where(*of_tunes),
        select(func.sum(Photo.bytes)).join(Tune, Tune.id == Photo.tune_id).where(*of_tunes),
        select(func.sum(Checkpoint.bytes))
        .join(Tune, Tune.id == Checkpoint.tune_id)
        .where(*of_tunes),
        select(func.sum(Sample.bytes))
        .join(Checkpoint)
        .join(Tune, Tune.id == Checkpoint.tune_id)
        .where(*of_tunes),
        select(func.sum(Prompt.input_bytes)).where(*of_prompts),
        select(func.sum(Image.bytes)).join(Prompt, Prompt.id == Image.prompt_id).where(*of_prompts),
    )
    return sum(session.scalar(query) or 0 for query in sums)


@dataclass(frozen=True)
class Limits:
    """What an account may take; 0 is no limit. The names are those of the settings, and of the
    account's columns."""

    requests_per_second: float
    waiting_jobs: int
    stored_mb: int


def limits(settings: Settings, account: Account) -> Limits:
    """The account's own limits, where the operator gave it some, else those of the settings."""
    own = {name: getattr(account, name) for name in LIMITS}
    said = {name: getattr(settings, name) if own[name] is None else own[name] for name in LIMITS}
    if said["requests_per_second"]:  # earlier versions kept what shuts an account out
        said["requests_per_second"] = max(said["requests_per_second"], LEAST_PACE)
    return Limits(**said)


def read_limit(name: str, typed: str) -> float:
    """A limit as a person types it; 0 is none. Raises InputError for what will not do."""
    paced = name == "requests_per_second"
    value = float(typed) if TYPED.fullmatch(typed) else -1.0
    if value < 0 or not (paced or value.is_integer()):
        kind = "a number" if paced else "a whole number"
        raise InputError(f"{typed!r} is no limit: give {kind} of 0 or more, below {MOST_LIMIT}.")
    if paced and 0 < value < LEAST_PACE:
        raise InputError(
            f"{typed!r} would shut the account out: give {LEAST_PACE:g} or more, or 0 for no limit."
        )
    return value if paced else int(value)


def check(session: Session, settings: Settings, account: Account, incoming: int = 0) -> None:
    """Whether one more job, and so many bytes with it, may come.

    Raises ServiceError: 429 where waiting helps, else 422.
    """
    may = limits(settings, account)
    if may.waiting_jobs and waiting(session, account.id) >= may.waiting_jobs:
        said = f"{may.waiting_jobs} jobs are the most that may wait: ask again when one is done."
        raise ServiceError(said, 429, {"Retry-After": str(TRY_AGAIN)})
    check_room(session, settings, account, incoming)


def check_room(session: Session, settings: Settings, account: Account, incoming: int) -> None:
    """Whether so many bytes may be kept beside what is there. Raises ServiceError (422)."""
    may = limits(settings, account)
    room = may.stored_mb * MB
    if room and (taken := stored(session, account.id) + incoming) >= room:
        raise ServiceError(
            f"Your files would take {taken / MB:.1f} MB of {may.stored_mb} MB: delete tunes "
            "or prompts first."
        )


LIMITS = tuple(field.name for field in fields(Limits))
