"""Estimates of work before it is asked for: its price, its time as measured here, what waits before
it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxbooth import hardware
from fluxbooth.errors import InputError
from fluxbooth.models import registry, timing
from fluxbooth.prompts import options
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.service import drawing_work
from fluxbooth.service.billing import prices
from fluxbooth.service.contract.forms import PromptForm, TuneForm
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import FIRST_TUNE, Account, Prompt, Tune, now
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.prompts import drawing
from fluxbooth.service.prompts.references import FACEID
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import checks, tunes
from fluxbooth.service.tunes.tunes import FAST_STEPS
from fluxbooth.specs import GenerateSpec, TrainSpec, steps_for

LOOKED_AT = 30  # prompts


@dataclass(frozen=True)
class Plan:
    """`days` is None for a tune that is kept.

    `seconds` are of the last training here on the same base, where there was one (`measured`), else
    guessed from the processor; None if the training would not fit it.
    """

    photos: int
    steps: int
    seconds: float | None
    measured: bool
    waiting: int
    days: int | None
    cost_mc: int


@dataclass(frozen=True)
class DrawingPlan:
    """`seconds` are of the last pictures here on the same base (`measured`), else guessed from
    the processor; `waits_seconds` are those until a device can draw on that base at all."""

    pictures: int
    seconds: float
    measured: bool
    waiting: int
    waits_seconds: float
    cost_mc: int


def plan(db: Database, settings: Settings, asked: dict[str, Any], photos: int) -> Plan:
    """For the fields of a form as they stand; those that will not do count as not given."""
    fast, spec = asked.get("branch") == "fast", _spec(asked)
    steps = steps_for(spec, photos)
    if fast:
        steps = min(steps if asked.get("steps") else FAST_STEPS, FAST_STEPS)
    base = "nano" if fast else _trained(settings, asked)
    with db.read() as session:
        # of finished trainings: the speed of one that has just begun is that of its first, slow
        # step
        last = session.scalar(
            select(Tune.progress)
            .where(Tune.base == base, Tune.trained_at.is_not(None))
            .order_by(Tune.id.desc())
        )
        ahead = (Tune.branch == "fast") == fast  # trials have a queue of their own
        waits = select(func.count()).select_from(Tune).where(Tune.is_open, ahead)
        waiting = session.scalar(waits) or 0
    speed = (last or {}).get("steps_per_second")
    step = (
        1 / speed
        if speed
        else timing.guessed_training(spec.model_copy(update={"base": base}), _device(settings))
    )
    seconds = steps * step if step else None
    cost = 0 if fast else prices.training_cost(settings.prices, spec, photos)
    days = None if asked.get("auto_extend") else settings.expiry_days
    return Plan(photos, steps, seconds, bool(speed), waiting, days, cost)


def _trained(settings: Settings, asked: dict[str, Any]) -> str:
    """The base that a training would be on; where none can be, the server's own."""
    try:
        form = TuneForm.lenient({**asked, "title": "a", "name": "man"})
        return checks.base_of(settings, form)[0]
    except ServiceError:
        return settings.base


def drawing_plan(
    session: Session,
    settings: Settings,
    account: Account,
    form: PromptForm,
    target: int,
    given: int | None = None,
) -> DrawingPlan:
    """For a prompt on a public base, or on one of the account's tunes; `given` are the pixels of
    the picture that it starts from, if it starts from one.

    Raises NotFound for any other.
    """
    used = [tunes.get(session, account, target)] if target >= FIRST_TUNE else []
    tune_id = used[0].base_tune_id if used else target
    if tune_id not in settings.bases:
        raise NotFound
    start = ["input_image"] if given else []
    spec = drawing.spec_of(settings, form, tune_id, used, start)
    strength = {"denoising_strength": form.denoising_strength} if given else {}
    asked = options.asked(spec | strength) | dict.fromkeys(start, True)
    asked = drawing_work.with_words(asked, form.text) | {
        "references": [photo for tune in used if tune.model_type == FACEID for photo in tune.photos]
    }
    if form.input_faceid:
        asked["input_faceid"] = True
    work = drawing_work.work(asked, given)
    seconds = _seconds(session, asked, work)
    measured = seconds is not None
    if seconds is None:
        drawn = {name: spec[name] for name in spec if name not in OPTIONS}
        plain = spec["num_images"] * spec["steps"] * prices.pixels(spec)
        whole = timing.guessed_drawing(
            GenerateSpec.read(drawn), prices.pixels(spec), _device(settings)
        )
        seconds = whole * work / plain
    waits = select(func.count()).select_from(Prompt).where(Prompt.is_open, Prompt.enqueued)
    waiting = session.scalar(waits) or 0
    return DrawingPlan(
        spec["num_images"],
        seconds,
        measured,
        waiting,
        _waits(session, settings, asked, used),
        drawing.cost(settings, form, tune_id, used, start),
    )


def _waits(
    session: Session, settings: Settings, asked: dict[str, Any], used: Sequence[Tune]
) -> float:
    """Trials have devices of their own, and what draws nothing needs no base."""
    if any(tune.branch == "fast" for tune in used) or not options.draws(asked):
        return 0.0
    return until_a_device(session, settings, asked["base"])


def until_a_device(
    session: Session, settings: Settings, base: str, *, alone: bool = False
) -> float:
    """Seconds until a picture on a base has a device, as the trainings under way tell: 0 where one
    does not train, or trains on that base and so stands aside; for one that has to be `alone`, none
    does."""
    begun = Tune.is_open, Tune.started_training_at.is_not(None), Tune.branch != "fast"
    trainings = session.scalars(select(Tune).where(*begun)).all()
    if not trainings or len(trainings) < len(settings.device_list or hardware.gpus() or [""]):
        return 0.0
    if not alone and any(_stands_aside(tune, base) for tune in trainings):
        return 0.0
    return min(
        max(0.0, (tune.eta - now()).total_seconds()) if tune.eta else 0.0 for tune in trainings
    )


def _stands_aside(tune: Tune, base: str) -> bool:
    """Not one on weights that nothing is drawn with."""
    row = registry.BASES.get(base)
    return tune.base == base and not (row is not None and row.pair)


def _device(settings: Settings) -> str | None:
    """The first that the service was given, if it was given any."""
    return next(iter(settings.device_list), None)


def _seconds(session: Session, spec: dict[str, Any], work: float) -> float | None:
    """By the last pictures here on the same base: those of the same kind, if there are any among
    the last `LOOKED_AT`, else the last."""
    done = Prompt.trained_at.is_not(None), Prompt.user_error.is_(None)
    query = select(Prompt).where(Prompt.spec["base"].as_string() == spec["base"], *done)
    rows = session.scalars(query.order_by(Prompt.id.desc()).limit(LOOKED_AT)).all()
    found = [(drawing_work.asked_of(row), row) for row in rows]
    kind = drawing_work.kind(spec)
    alike = [one for one in found if drawing_work.kind(one[0]) == kind]
    for asked, row in [*alike, *found]:
        before = drawing_work.work(asked, _began(row))
        if row.trained_at and row.started_training_at and before:
            seconds = (row.trained_at - row.started_training_at).total_seconds()
            return seconds * work / before
    return None


def _began(row: Prompt) -> int | None:
    """Pixels of a picture of a prompt before it was enlarged."""
    if not row.images:
        return None
    image = row.images[0]
    factors = [step.get("factor", 1.0) for step in image.recipe.get("enhanced", ())]
    return round(image.width * image.height / max(factors, default=1.0) ** 2)


def _spec(asked: dict[str, Any]) -> TrainSpec:
    try:
        return TrainSpec.read(
            {
                "class_name": "man",
                "steps": asked.get("steps") or None,
                "preset": asked.get("preset") or None,
            }
        )
    except InputError:
        return TrainSpec(class_name="man")
