"""The files of a request for a tune: photos, and captions by their photos' names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Protocol

from fluxbooth.files import write_whole
from fluxbooth.photos.folders import SUFFIXES, shown, some
from fluxbooth.prompts.language import trigger_words, with_trigger
from fluxbooth.service.db.tables import Photo, Tune
from fluxbooth.service.files import inventory
from fluxbooth.service.files.store import Store


class Upload(Protocol):
    """A file that a request brought: on disk under a name of ours, called `filename` by the
    client."""

    @property
    def path(self) -> Path: ...

    @property
    def filename(self) -> str: ...


def is_caption(upload: Upload) -> bool:
    return upload.filename.lower().endswith(inventory.CAPTION)


def photos_of(uploads: Sequence[Upload]) -> list[Upload]:
    return [upload for upload in uploads if not is_caption(upload)]


def captions_left_out(uploads: Sequence[Upload]) -> list[str]:
    """A sentence on the captions that are of none of the photos, if there are any."""
    stems = {PurePath(photo.filename).stem for photo in photos_of(uploads)}
    alone = [
        shown(upload.filename)
        for upload in uploads
        if is_caption(upload) and PurePath(upload.filename).stem not in stems
    ]
    return [f"Captions left out, because no photo has their name: {some(alone)}."] if alone else []


def keep(tune: Tune, store: Store, uploads: Sequence[Upload], urls: Sequence[str]) -> None:
    """Puts photos and their captions into the folder of a tune; those at `urls` are fetched
    later."""
    captions = {PurePath(u.filename).stem: u for u in uploads if is_caption(u)}
    for number, photo in enumerate(photos_of(uploads)):
        suffix = PurePath(photo.filename).suffix.lower()
        key = f"{tune.folder}/photos/{number:03d}{suffix if suffix in SUFFIXES else '.jpg'}"
        store.put(photo.path, key)
        if caption := captions.get(PurePath(photo.filename).stem):
            store.put(caption.path, f"{tune.folder}/photos/{number:03d}{inventory.CAPTION}")
        tune.photos.append(Photo(filename=photo.filename[:200], key=key, bytes=store.size(key)))
    tune.photos.extend(
        Photo(filename=PurePath(url.split("?")[0]).name[:200], url=url) for url in urls
    )


def captions(tune: Tune, store: Store) -> dict[int, str]:
    """What is known to be on the photos, by their ids: told with them, or written by a training."""
    found = dict[int, str]()
    for photo in tune.photos:
        path = photo.key and store.path(caption_key(photo.key))
        if path and path.is_file():
            found[photo.id] = path.read_text(encoding="utf-8-sig").strip()
    return found


def keep_captions(tune: Tune, store: Store, written: Mapping[str, str]) -> None:
    """Puts captions beside their photos, `written` by the names of the photos' files, so that
    people see them, and a training with these photos reads the same."""
    for photo in tune.photos:
        if photo.key and (text := written.get(PurePath(photo.key).name)):
            write_whole(store.path(caption_key(photo.key)), text.encode())


def caption_key(photo: str) -> str:
    """Where the caption of a photo lies, by the photo's key."""
    return str(PurePath(photo).with_suffix(inventory.CAPTION))


def captions_of(tune: Tune, store: Store) -> list[str]:
    """What was said of each photo that is here, in the words that were trained on; of those
    without a caption the trigger words."""
    trigger, told = trigger_words(tune.token or "", tune.name), captions(tune, store)
    here = [photo for photo in tune.photos if photo.key]
    return [with_trigger(" ".join(told.get(p.id, "").split()) or trigger, trigger) for p in here]
