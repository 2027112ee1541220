"""Tunes: make, list, change, delete. Accepted work is committed, with its job, before anyone is
answered."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session, selectinload

from fluxbooth.photos import faces
from fluxbooth.service import expiry
from fluxbooth.service.accounts import quotas
from fluxbooth.service.billing import ledger, prices
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm, TuneForm, TunePatch
from fluxbooth.service.db.tables import Account, Prompt, Tune, now
from fluxbooth.service.errors import NotFound
from fluxbooth.service.files import row_folders
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.prompts import ending, prompts
from fluxbooth.service.prompts.references import FACEID
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import checks
from fluxbooth.service.tunes.checks import base_of, token_of
from fluxbooth.service.tunes.uploads import Upload, captions_left_out, keep, photos_of
from fluxbooth.specs import TrainSpec, steps_for

FAST_STEPS, NEWER_THAN_ALL = 30, 2**63 - 1
TRAIN_ETA, FAST_ETA = datetime.timedelta(minutes=30), datetime.timedelta(seconds=20)
CANCELLED = "The training was cancelled."  # what somebody wanted is no failure
SAMPLED = "at the beach", "in a city at night", "in snowy mountains"


def create(
    context: Context,
    form: TuneForm,
    uploads: Sequence[Upload],
    lora_file: Upload | None = None,
) -> Tune:
    """A new tune with its photos, nested prompts and job; or, if the account wants it so, the one
    of the same title.

    With a `lora_file`, which `check_lora` has passed, there is nothing to train: the tune is ready
    at once.

    The caller holds the transaction, and the uploads: they are its to discard. Raises Invalid for
    what will not do; nothing is kept then.
    """
    session, account, store = context.session, context.account, context.store
    if account.idempotent and (known := _same_title(session, account, form.title)):
        return known
    check(context, form, uploads, lora_file)
    photos = len(photos_of(uploads)) + len(form.image_urls)
    tune = _row(context, form, photos)
    session.add(tune)
    session.flush()
    row_folders.make(session, store, tune)
    keep(tune, store, uploads, form.image_urls)
    tune.warnings = captions_left_out(uploads)
    if lora_file is not None:
        key = f"{tune.folder}/lora.safetensors"
        store.put(lora_file.path, key)
        tune.lora, tune.imported, tune.lora_bytes = key, True, store.size(key)
    if tune.imported or (tune.model_type == FACEID and not form.image_urls):
        ready(session, context.settings, context.jobs, tune)
    elif tune.model_type == FACEID:
        context.jobs.train(session, tune)  # when its pictures are here it is ready, too
    else:
        begin(context, tune, photos)
    for values in form.prompts_attributes:
        prompts.create(context, PromptForm.read(values), target=tune.id)
    return tune


def _row(context: Context, form: TuneForm, photos: int) -> Tune:
    account, settings = context.account, context.settings
    base, base_tune_id, branch = base_of(settings, form)
    face_crop = account.face_crop if form.face_crop is None else form.face_crop
    spec = _spec(settings, form, base, branch, photos, face_crop=face_crop and faces.available())
    return Tune(
        account_id=account.id,
        title=form.title,
        name=form.name,
        token=None if form.model_type == FACEID else spec.token,
        model_type=FACEID if form.model_type == FACEID else "lora",
        branch=branch,
        base=base,
        base_tune_id=base_tune_id,
        preset=form.preset,
        steps=form.steps,
        spec=spec.model_dump(mode="json"),
        characteristics=form.characteristics,
        callback=form.callback,
        face_crop=face_crop,
        training_face_correct=form.training_face_correct,
        auto_extend=form.auto_extend or account.auto_extend,
        eta=eta(branch),
    )


def ready(session: Session, settings: Settings, jobs: JobEngine, tune: Tune) -> None:
    """There is nothing to train."""
    tune.started_training_at = tune.trained_at = moment = now()
    tune.expires_at = expiry.expires_at(settings, moment, auto_extend=tune.auto_extend)
    session.flush()
    jobs.callback(session, tune=tune)


def check(
    context: Context,
    form: TuneForm,
    uploads: Sequence[Upload],
    lora_file: Upload | None = None,
) -> None:
    """Refuses what `create` would refuse, as far as this can be told before pictures are decoded.

    Keeps nothing.
    """
    session, account, settings = context.session, context.account, context.settings
    if account.idempotent and _same_title(session, account, form.title):
        return
    checks.check(context, form, uploads, lora_file)
    quotas.check(
        session,
        settings,
        account,
        sum(
            upload.path.stat().st_size for upload in (*uploads, *([lora_file] if lora_file else []))
        ),
    )
    if lora_file is None and form.branch != "fast" and form.model_type != FACEID:
        base, _, branch = checks.base_of(settings, form)
        photos = len(photos_of(uploads)) + len(form.image_urls)
        spec = _spec(settings, form, base, branch, photos, face_crop=False)
        ledger.cover(session, account.id, prices.training_cost(settings.prices, spec, photos))


def eta(branch: str) -> datetime.datetime:
    """When a training is done that nobody measured yet."""
    return now() + (FAST_ETA if branch == "fast" else TRAIN_ETA)


def begin(context: Context, tune: Tune, photos: int) -> None:
    """Holds the price of a tune's training on so many photos, and enqueues it."""
    session, settings = context.session, context.settings
    tune.cost_mc = (
        0
        if tune.branch == "fast"
        else prices.training_cost(settings.prices, TrainSpec.read(tune.spec), photos)
    )
    session.flush()
    ledger.hold(session, tune.account_id, tune.job, tune.cost_mc)
    context.jobs.train(session, tune)


def get(session: Session, account: Account, number: int) -> Tune:
    tune = session.scalar(
        select(Tune).where(
            Tune.id == number, Tune.account_id == account.id, Tune.deleted_at.is_(None)
        )
    )
    if tune is None:
        raise NotFound
    return tune


def listed(
    session: Session,
    account: Account,
    *,
    limit: int,
    offset: int,
    before: int | None,
    title: str | None,
    names: Sequence[str],
    model_type: str | None,
    branch: str | None,
) -> Sequence[Tune]:
    """The account's tunes, newest first."""
    query = _NEWEST
    if title:
        query = query.where(Tune.title.contains(title, autoescape=True))
    if names:
        query = query.where(Tune.name.in_(names))
    if model_type:
        query = query.where(Tune.model_type == model_type)
    if branch:
        query = query.where(Tune.branch == branch)
    asked = {
        "account": account.id,
        "before": NEWER_THAN_ALL if before is None else before,
        "limit": limit,
        "offset": offset,
    }
    return session.scalars(query, asked).all()


# clients ask for their tunes every second: put together once
_NEWEST = (
    select(Tune)
    .where(
        Tune.account_id == bindparam("account"),
        Tune.deleted_at.is_(None),
        Tune.id < bindparam("before"),
    )
    .options(selectinload(Tune.photos))
    .order_by(Tune.id.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)


def change(session: Session, account: Account, number: int, patch: TunePatch) -> Tune:
    tune = get(session, account, number)
    tune.title, tune.name = patch.title or tune.title, patch.name or tune.name
    if patch.characteristics is not None:
        tune.characteristics = {**tune.characteristics, **patch.characteristics}
    session.flush()
    return tune


def delete(
    session: Session, jobs: JobEngine, account: Account, number: int, *, with_prompts: bool
) -> list[str]:
    """Hides a tune and ends its work; returns the keys of files to remove once this is committed.

    Finished prompts that use it stay, unless they are to go too; open ones fail, and their
    callbacks say so.
    """
    tune = get(session, account, number)
    if tune.trained_at is None:
        ledger.refund(session, tune)
    tune.deleted_at = now()
    using = session.scalars(
        select(Prompt).where(Prompt.uses.any(tune_id=tune.id), Prompt.deleted_at.is_(None))
    ).all()
    keys = [tune.folder]
    for prompt in using:
        if with_prompts:
            ending.take_away(session, jobs.settings.prices, prompt)
            keys.append(prompt.folder)
        elif prompt.is_open:
            ending.fail(session, jobs, prompt, "A tune that this prompt uses was deleted.")
    session.flush()
    jobs.settle(session, account.id)
    return keys


def cancel(session: Session, jobs: JobEngine, account: Account, number: int) -> Tune:
    """Ends a training that is queued or under way; one that is over stays as it is."""
    tune = get(session, account, number)
    if tune.is_open:
        fail(session, jobs, tune, CANCELLED)
    return tune


def fail(session: Session, jobs: JobEngine, tune: Tune, reason: str) -> None:
    """Marks a tune failed, with every prompt that waits for it; their callbacks go out."""
    tune.failed_at, tune.user_error = now(), reason
    ledger.refund(session, tune)
    session.flush()
    jobs.callback(session, tune=tune)
    open_ones = select(Prompt).where(Prompt.uses.any(tune_id=tune.id), Prompt.is_open)
    waiting = session.scalars(open_ones).all()
    for prompt in waiting:
        said = f"Tune {tune.id} that this prompt uses failed: {reason}"
        ending.fail(session, jobs, prompt, said)


def _same_title(session: Session, account: Account, title: str) -> Tune | None:
    return session.scalar(
        select(Tune).where(
            Tune.account_id == account.id, Tune.title == title, Tune.deleted_at.is_(None)
        )
    )


def _spec(
    settings: Settings, form: TuneForm, base: str, branch: str, photos: int, *, face_crop: bool
) -> TrainSpec:
    fast = branch == "fast"
    spec = TrainSpec.read(
        {
            "class_name": form.name,
            "base": base,
            "token": token_of(form),
            "preset": form.preset,
            "steps": min(form.steps or FAST_STEPS, FAST_STEPS) if fast else form.steps,
            **form.choosing(),
            "checkpoint_every": 100,
            "face_crop": face_crop,
        }
    )
    if fast or not settings.checkpoints:  # a trial shows that it goes; what it draws hardly differs
        return spec
    return with_stages(settings, spec, photos)


def with_stages(settings: Settings, spec: TrainSpec, photos: int) -> TrainSpec:
    """The spec with checkpoints to choose from, and three texts for anything that has a class
    word."""
    texts = tuple(f"{spec.trigger} {where}" for where in SAMPLED)
    return spec.model_copy(
        update={
            "steps": steps_for(spec, photos),
            "stop_early": spec.steps is None if spec.stop_early is None else spec.stop_early,
            "stages": settings.checkpoints,
            "sample_prompts": texts,
        }
    )
