"""Train more: a new tune on the photos of one that is trained, whose training goes on from its
LoRA."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from fluxbooth.service.accounts import quotas
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import MoreForm
from fluxbooth.service.db.tables import Photo, Tune
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.files import inventory, row_folders
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.prompts.references import FACEID
from fluxbooth.service.tunes import tunes
from fluxbooth.specs import TrainSpec

# columns of a tune that one of the same photos has, too
SAME = (
    "account_id", "title", "name", "token", "model_type", "branch", "base", "base_tune_id",
    "preset", "steps", "spec", "characteristics", "callback", "face_crop",
    "training_face_correct", "continues", "consent", "consented_at", "flagged", "auto_extend",
)  # fmt: skip


def start(tune: Tune) -> str:
    """The key of the LoRA that a training goes on from, until it is done."""
    return f"{tune.folder}/{inventory.START}"


def more(context: Context, number: int, form: MoreForm) -> Tune:
    """A new tune that begins with the LoRA, photos and captions of another; both stand on their own
    then.

    The caller holds the transaction. Raises NotFound; ServiceError for a tune that nothing can be
    added to, or without room or funds.
    """
    session, account = context.session, context.account
    settings, store = context.settings, context.store
    callbacks.check_address(settings, form.callback)
    old = tunes.get(session, account, number)
    if old.model_type == FACEID:
        raise ServiceError(
            f"“{old.title}” is reference pictures, which are not trained: make a new tune of its "
            "photos to train a LoRA."
        )
    if not (old.trained_at and old.lora):
        raise ServiceError(f"“{old.title}” is not trained, so there is nothing to go on from.")
    if old.imported or not old.photos:
        raise ServiceError(
            f"“{old.title}” was brought as a file, without photos: make a new tune of photos."
        )
    quotas.check(
        session, settings, account, sum(photo.bytes for photo in old.photos) + store.size(old.lora)
    )
    tune = _row(context, old, form)
    session.add(tune)
    session.flush()
    row_folders.make(session, store, tune)
    share_photos(store, old, tune)
    store.put(store.path(old.lora), start(tune))
    tune.lora_bytes = store.size(start(tune))
    tunes.begin(context, tune, len(old.photos))
    return tune


def _row(context: Context, old: Tune, form: MoreForm) -> Tune:
    settings = context.settings
    most = tunes.FAST_STEPS
    steps = min(form.steps or most, most) if old.branch == "fast" else form.steps
    spec = TrainSpec.read({**old.spec, "steps": steps, "stop_early": None})
    if spec.stages and settings.checkpoints:
        spec = tunes.with_stages(settings, spec, len(old.photos))
    return like(
        old,
        title=form.title or old.title,
        steps=form.steps,
        spec=spec.model_dump(mode="json"),
        callback=form.callback,
        continues=old.id,
        auto_extend=form.auto_extend or context.account.auto_extend,
    )


def like(old: Tune, **differences: Any) -> Tune:
    """A new row of the same account and subject, to be trained as the old one but for the
    differences."""
    return Tune(
        **{name: getattr(old, name) for name in SAME} | differences, eta=tunes.eta(old.branch)
    )


def share_photos(store: Store, old: Tune, tune: Tune) -> None:
    """Puts the old tune's photos and captions into the folder of the new one; those that were
    never fetched are to be fetched for it."""
    for photo in old.photos:
        if photo.key is None:
            tune.photos.append(Photo(filename=photo.filename, url=photo.url))
            continue
        name = PurePath(photo.key)
        key = f"{tune.folder}/photos/{name.name}"
        store.put(store.path(photo.key), key)
        if store.size(caption := str(name.with_suffix(inventory.CAPTION))):
            store.put(store.path(caption), f"{tune.folder}/photos/{name.stem}{inventory.CAPTION}")
        tune.photos.append(Photo(filename=photo.filename, key=key, bytes=photo.bytes))
