"""What work would take, said before it is asked for: its price, its time as measured here, what waits before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.service import prices, prompts, tunes
from fluxbooth.service.db import Database
from fluxbooth.service.errors import NotFound
from fluxbooth.service.schemas import PromptForm
from fluxbooth.service.settings import Settings
from fluxbooth.service.tables import FIRST_TUNE, Account, Prompt, Tune
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
    cost_mc: int


@dataclass(frozen=True)
class DrawingPlan:
    """`seconds` is None where nothing was drawn on the base yet."""

    pictures: int
    seconds: float | None
    waiting: int
    cost_mc: int


def plan(db: Database, settings: Settings, asked: dict[str, Any], photos: int) -> Plan:
    """For the fields of a form as they stand; those that will not do count as not given."""
    fast, spec = asked.get("branch") == "fast", _spec(asked)
    steps = steps_for(spec, photos)
    if fast:
        steps = min(steps if asked.get("steps") else FAST_STEPS, FAST_STEPS)
    base = "nano" if fast else settings.base
    with db.read() as session:
        last = session.scalar(select(Tune.progress).where(Tune.base == base, Tune.trained_at.is_not(None)).order_by(Tune.id.desc()))
        waits = (Tune.trained_at.is_(None), Tune.failed_at.is_(None), Tune.deleted_at.is_(None))
        waiting = session.scalar(select(func.count()).select_from(Tune).where(*waits)) or 0
    speed = (last or {}).get("steps_per_second")
    cost = 0 if fast else prices.training_cost(settings.prices, spec, photos)
    return Plan(photos, steps, steps / speed if speed else None, waiting, None if asked.get("auto_extend") else settings.expiry_days, cost)


def drawing_plan(session: Session, settings: Settings, account: Account, form: PromptForm, target: int) -> DrawingPlan:
    """For a prompt on a public base, or on one of the account's tunes. Raises NotFound for any other."""
    used = [tunes.get(session, account, target)] if target >= FIRST_TUNE else []
    tune_id = used[0].base_tune_id if used else target
    if tune_id not in settings.base_tunes:
        raise NotFound
    spec = prompts.spec_of(settings, form, tune_id, used)
    like = (Prompt.spec["base"].as_string() == spec["base"], Prompt.trained_at.is_not(None), Prompt.user_error.is_(None))
    last = session.scalar(select(Prompt).where(*like).order_by(Prompt.id.desc()))
    seconds = None
    if last and last.trained_at and last.started_training_at:
        seconds = (last.trained_at - last.started_training_at).total_seconds() * _work(spec) / _work(last.spec)
    waits = (Prompt.trained_at.is_(None), Prompt.deleted_at.is_(None), Prompt.enqueued)
    waiting = session.scalar(select(func.count()).select_from(Prompt).where(*waits)) or 0
    return DrawingPlan(form.num_images, seconds, waiting, prompts.cost(settings, form, tune_id, used))


def _work(spec: dict[str, Any]) -> int:
    return spec["num_images"] * spec["steps"] * prices.pixels(spec)


def _spec(asked: dict[str, Any]) -> TrainSpec:
    try:
        return TrainSpec.read({"class_name": "man", "steps": asked.get("steps") or None, "preset": asked.get("preset") or None})
    except InputError:
        return TrainSpec(class_name="man")
