"""What a training would take, said before it is asked for: steps by its own rule, time as measured here, what waits before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from fluxbooth.errors import InputError
from fluxbooth.service.db import Database
from fluxbooth.service.settings import Settings
from fluxbooth.service.tables import Tune
from fluxbooth.service.tunes import FAST_STEPS
from fluxbooth.specs import TrainSpec, steps_for


@dataclass(frozen=True)
class Plan:
    """`seconds` is None where nothing of the kind was trained here yet; `days` is None for a tune that is kept."""

    photos: int
    steps: int
    seconds: float | None
    waiting: int
    days: int | None


def plan(db: Database, settings: Settings, asked: dict[str, Any], photos: int) -> Plan:
    """For the fields of a form as they stand; those that will not do count as not given."""
    fast = asked.get("branch") == "fast"
    steps = _steps(asked, photos)
    if fast:
        steps = min(steps if asked.get("steps") else FAST_STEPS, FAST_STEPS)
    base = "nano" if fast else settings.base
    with db.read() as session:
        last = session.scalar(select(Tune.progress).where(Tune.base == base, Tune.trained_at.is_not(None)).order_by(Tune.id.desc()))
        waits = (Tune.trained_at.is_(None), Tune.failed_at.is_(None), Tune.deleted_at.is_(None))
        waiting = session.scalar(select(func.count()).select_from(Tune).where(*waits)) or 0
    speed = (last or {}).get("steps_per_second")
    return Plan(photos, steps, steps / speed if speed else None, waiting, None if asked.get("auto_extend") else settings.expiry_days)


def _steps(asked: dict[str, Any], photos: int) -> int:
    try:
        spec = TrainSpec.read({"class_name": "man", "steps": asked.get("steps") or None, "preset": asked.get("preset")})
    except InputError:
        spec = TrainSpec(class_name="man")
    return steps_for(spec, photos)
