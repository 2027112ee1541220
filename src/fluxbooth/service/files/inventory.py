"""The list of files that rows name.

Export, backup and the tidying after a job follow this one list; a file that is not on it belongs to
nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from fluxbooth.service.db.checkpoint_tables import Checkpoint, Sample
from fluxbooth.service.db.tables import Image, Photo, Prompt, Tune
from fluxbooth.service.files.store import Store
from fluxbooth.service.prompts import input_images

Which = ColumnElement[bool]
START = "start.safetensors"  # what a training goes on from, until it is done
REPORT = "report.html"  # what a training made of itself
WORK = "work"  # folder of the device process that trains or draws
CAPTION, THUMB = ".txt", ".thumb.webp"  # endings of what lies beside a file and goes with it


def of_tunes(session: Session, which: Which) -> Iterator[str]:
    """Keys of photos, samples and LoRAs of some tunes."""
    photos = select(Photo.key).join(Tune, Tune.id == Photo.tune_id)
    checkpoints = select(Checkpoint.lora).join(Tune, Tune.id == Checkpoint.tune_id)
    for query in (photos, select(Tune.lora), checkpoints):
        yield from (key for key in session.scalars(query.where(which)) if key)
    yield from session.scalars(
        select(Sample.key).join(Checkpoint).join(Tune, Tune.id == Checkpoint.tune_id).where(which)
    )
    reported = Tune.progress["report"].as_boolean()
    for tune in session.scalars(select(Tune).where(which, reported.is_(True))):
        yield f"{tune.folder}/{REPORT}"
    going_on = (Tune.continues.is_not(None), Tune.trained_at.is_(None), Tune.failed_at.is_(None))
    for tune in session.scalars(select(Tune).where(which, *going_on)):
        yield f"{tune.folder}/{START}"


def of_prompts(session: Session, which: Which) -> Iterator[str]:
    """Keys of pictures of some prompts, and of those that they start from."""
    yield from session.scalars(
        select(Image.key).join(Prompt, Prompt.id == Image.prompt_id).where(which)
    )
    for fields in session.scalars(
        select(Prompt.fields).where(
            which, Prompt.fields[input_images.FILES].as_string().is_not(None)
        )
    ):
        yield from fields.get(input_images.FILES, {}).values()


def with_captions(store: Store, keys: Iterator[str]) -> Iterator[str]:
    """The keys, each once, and those of the captions beside photos."""
    for key in dict.fromkeys(keys):
        yield key
        caption = str(PurePath(key).with_suffix(CAPTION))
        if "/photos/" in key and store.size(caption):
            yield caption


def tidy(session: Session, store: Store, row: Tune | Prompt) -> None:
    """Of a row whose work is over, removes whatever lies in its folder that no row names."""
    named = set(
        of_tunes(session, Tune.id == row.id)
        if isinstance(row, Tune)
        else of_prompts(session, Prompt.id == row.id)
    )
    stems = {key.rpartition(".")[0] for key in named}
    store.remove(f"{row.folder}/{WORK}")
    for path in [path for path in store.path(row.folder).rglob("*") if path.is_file()]:
        key = path.relative_to(store.folder).as_posix()
        beside = key.removesuffix(THUMB).removesuffix(CAPTION)
        if key not in named and not (beside != key and beside in stems):
            store.remove(key)
