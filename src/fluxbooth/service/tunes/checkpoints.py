"""Checkpoints: what a training was on its way, with what it drew there. The one that is chosen is
the tune's LoRA.

The files lie in the tune's own folder and go when it goes: `samples/000075-0.jpg`,
`checkpoints/000075.safetensors`. The checkpoint that the training chose has no file of its own: it
is the `lora.safetensors` that it ended with. `report.html` shows them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from fluxbooth import picture_files
from fluxbooth.events import SampleDrawn, Scored
from fluxbooth.service.db.checkpoint_tables import Checkpoint, Sample
from fluxbooth.service.db.tables import Account, Tune
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.files import inventory
from fluxbooth.service.files.store import Store
from fluxbooth.service.tunes import tunes
from fluxbooth.types import Json

QUALITY = 92  # of JPEG


def listed(session: Session, account: Account, number: int) -> Sequence[Checkpoint]:
    """Of a tune, in the order of its training; the first, at step 0, is what was there before
    it and has no LoRA. NotFound."""
    return of(session, tunes.get(session, account, number))


def of(session: Session, tune: Tune) -> Sequence[Checkpoint]:
    query = (
        select(Checkpoint)
        .where(Checkpoint.tune_id == tune.id)
        .options(selectinload(Checkpoint.samples))
    )
    return session.scalars(query.order_by(Checkpoint.step)).all()


def promote(session: Session, account: Account, number: int, step: int) -> Tune:
    """Makes the LoRA of a step the tune's: from now on prompts draw with it. Pictures that are
    there stay as they are."""
    tune = tunes.get(session, account, number)
    found = session.scalar(
        select(Checkpoint).where(Checkpoint.tune_id == tune.id, Checkpoint.step == step)
    )
    if found is None:
        raise NotFound
    if found.lora is None:
        raise ServiceError(
            f"Step {step} has no LoRA to draw with: choose a later one, of a training that is done."
        )
    tune.lora = found.lora
    session.flush()
    return tune


def sampled(session: Session, store: Store, tune: Tune, event: SampleDrawn) -> None:
    """Keeps a picture that a training drew on its way; drawn twice, after a kill, the later one
    stays."""
    checkpoint, source = _at(session, tune, event["step"]), Path(event["path"])
    number = int(source.stem.rpartition("-")[2])
    key = f"{tune.folder}/samples/{event['step']:06d}-{number}.jpg"
    finished = source.with_suffix(".jpg")
    with Image.open(source) as picture:
        picture_files.save(picture.convert("RGB"), finished, quality=QUALITY)
    store.take(finished, key)
    known = session.scalar(
        select(Sample).where(Sample.checkpoint_id == checkpoint.id, Sample.number == number)
    )
    if known is None:
        session.add(
            Sample(
                checkpoint_id=checkpoint.id,
                number=number,
                text=event["text"],
                key=key,
                bytes=store.size(key),
            )
        )
        tune.progress = {**tune.progress, "samples": tune.progress.get("samples", 0) + 1}
    else:
        known.bytes = store.size(key)
    session.flush()


def scored(tune: Tune, event: Scored) -> None:
    """Notes how good a training's checkpoint was found; found twice, after a kill, the later one
    stays."""
    before = [look for look in tune.progress.get("looks", ()) if look["step"] < event["step"]]
    names = ("step", "identity", "prompt", "value")
    look = {name: event[name] for name in names}
    tune.progress = {**tune.progress, "looks": [*before, look], "best": event["best"]}


def report(session: Session, account: Account, number: int) -> str:
    """The key of the page that a training made of itself. NotFound."""
    tune = tunes.get(session, account, number)
    if not tune.progress.get("report"):
        raise NotFound
    return f"{tune.folder}/{inventory.REPORT}"


def publish(session: Session, store: Store, tune: Tune, result: Json) -> None:
    """Takes over the LoRAs of a finished training, and how alike its samples were found."""
    stages = {
        int(Path(path).stem.rpartition("-")[2]): Path(path) for path in result.get("stages", ())
    }
    for step, source in stages.items():
        checkpoint = _at(session, tune, step)
        if step == result.get("chosen", result["steps"]):
            checkpoint.lora = tune.lora
            continue
        key = f"{tune.folder}/checkpoints/{step:06d}.safetensors"
        if source.exists():
            store.take(source, key)
        checkpoint.lora, checkpoint.bytes = key, store.size(key)
    page = Path(result["lora"]).with_name(inventory.REPORT)
    key = f"{tune.folder}/{inventory.REPORT}"
    if page.exists():
        store.take(page, key)
    if store.size(key):
        tune.progress = {**tune.progress, "report": True}
    likeness = result.get("likeness")
    if likeness:
        tune.likeness_of_photos = likeness["photos"]
        for checkpoint in of(session, tune):
            scores = likeness["samples"].get(str(checkpoint.step), [])
            for sample in checkpoint.samples:
                sample.likeness = scores[sample.number] if sample.number < len(scores) else None
    session.flush()


def _at(session: Session, tune: Tune, step: int) -> Checkpoint:
    found = session.scalar(
        select(Checkpoint).where(Checkpoint.tune_id == tune.id, Checkpoint.step == step)
    )
    if found is None:
        found = Checkpoint(tune_id=tune.id, step=step)
        session.add(found)
        session.flush()
    return found
