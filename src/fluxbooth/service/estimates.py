"""Estimates of work before it is asked for: its price, its time as measured here, what waits before
it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.models import registry, timing
from fluxbooth.prompts import options
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.service.billing import prices
from fluxbooth.service.contract.forms import PromptForm, TuneForm
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import FIRST_TUNE, Account, Prompt, Tune
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.prompts import drawing
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import checks, tunes
from fluxbooth.service.tunes.tunes import FAST_STEPS
from fluxbooth.specs import GenerateSpec, TrainSpec, steps_for

HIRES, FACES = (
    OPTIONS[name].default for name in ("hires_denoising_strength", "face_inpaint_denoising")
)
OVERLAPPED = 1.5  # how often the tiles of a large picture go over a pixel
UPSCALED = 2.0  # what enlarging costs, in drawings of the picture


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
    the processor."""

    pictures: int
    seconds: float
    measured: bool
    waiting: int
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
    session: Session, settings: Settings, account: Account, form: PromptForm, target: int
) -> DrawingPlan:
    """For a prompt on a public base, or on one of the account's tunes.

    Raises NotFound for any other.
    """
    used = [tunes.get(session, account, target)] if target >= FIRST_TUNE else []
    tune_id = used[0].base_tune_id if used else target
    if tune_id not in settings.bases:
        raise NotFound
    spec = drawing.spec_of(settings, form, tune_id, used)
    like = (
        Prompt.spec["base"].as_string() == spec["base"],
        Prompt.trained_at.is_not(None),
        Prompt.user_error.is_(None),
    )
    last = session.scalar(select(Prompt).where(*like).order_by(Prompt.id.desc()))
    if last and last.trained_at and last.started_training_at and _work(last.spec):
        measured = True
        seconds = (
            (last.trained_at - last.started_training_at).total_seconds()
            * _work(spec)
            / _work(last.spec)
        )
    else:
        measured = False
        drawn = {name: spec[name] for name in spec if name not in OPTIONS}
        seconds = timing.guessed_drawing(
            GenerateSpec.read(drawn), prices.pixels(spec), _device(settings)
        ) * (_work(spec) / (spec["num_images"] * spec["steps"] * prices.pixels(spec)))
    waits = select(func.count()).select_from(Prompt).where(Prompt.is_open, Prompt.enqueued)
    waiting = session.scalar(waits) or 0
    return DrawingPlan(
        form.num_images, seconds, measured, waiting, drawing.cost(settings, form, tune_id, used)
    )


def _device(settings: Settings) -> str | None:
    """The first that the service was given, if it was given any."""
    return next(iter(settings.device_list), None)


def _work(spec: dict[str, Any]) -> float:
    """In pixels of a drawing times its steps; what is done afterwards is counted in the same."""
    return spec["num_images"] * spec["steps"] * (_drawn(spec) + _followed(spec))


def _drawn(spec: dict[str, Any]) -> float:
    """Pixels of the picture itself, less where it starts from another."""
    if spec.get("only_upscale"):
        return 0.0
    strength = spec.get("denoising_strength")
    return prices.pixels(spec) * (1.0 if strength is None else strength)


def _followed(spec: dict[str, Any]) -> float:
    """Pixels of what follows, each as often as a whole drawing would go over it."""
    row, pixels = registry.find(spec["base"]), prices.pixels(spec)
    side = pixels**0.5
    factor = options.enlargement(spec, (round(side), round(side)), row.native_area)
    large, done = pixels * factor**2, 0.0
    if factor > 1:
        done += UPSCALED * pixels
    if any(spec.get(name) for name in ("hires_fix", "tiled_upscale", "tiled_upscale_v2")):
        strength = spec.get("hires_denoising_strength", HIRES)
        done += OVERLAPPED * large * strength
    if spec.get("inpaint_faces") or spec.get("face_correct"):
        done += row.native_area * spec.get("face_inpaint_denoising", FACES)
    if spec.get("outpaint"):
        width, height = spec.get("outpaint_width"), spec.get("outpaint_height")
        done += (width or height or 0) * (height or width or 0)
    return done


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
