"""Captions for photos that have none: what each shows beside its subject, so that the rare token
does not learn it.

The reader of the base's pictures names it, in words that the base knows. Only what it is sure of
is said: on photos in a style that it does not know, guesses cost likeness and prompts more than
saying nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from fluxbooth.models import registry
from fluxbooth.models.attribute_reader import Reading, load_reader
from fluxbooth.models.base import Base
from fluxbooth.photos.inspection import Photo
from fluxbooth.prompts import captions
from fluxbooth.prompts.captions import Seen
from fluxbooth.specs import ResolvedTrainSpec

SURE = 0.95  # least probability of what is said
PLACES = {
    "beach": "at the beach", "forest": "in a forest", "city": "in a city at night",
    "mountains": "in snowy mountains", "desert": "in a desert", "space": "among the stars",
    "room": "in a living room", "sunset": "in front of a sunset",
}  # fmt: skip


def written(photos: Sequence[Photo], spec: ResolvedTrainSpec) -> list[Photo]:
    """The photos, those without a caption with that of `spec.captioner`."""
    if spec.captioner == "none":
        return list(photos)
    views = seen(photos, registry.find(spec.base))
    return [
        photo
        if photo.caption or view is None
        else replace(photo, caption=captions.caption(view, spec.class_name))
        for photo, view in zip(photos, views, strict=True)
    ]


def added(given: Sequence[Photo], photos: Sequence[Photo]) -> dict[str, str]:
    """The captions that were written for photos without one, by the photo's file name."""
    return {
        photo.path.name: photo.caption
        for before, photo in zip(given, photos, strict=False)
        if photo.caption and not before.caption
    }


def seen(photos: Sequence[Photo], base: Base) -> list[Seen | None]:
    """What the reader of the base's pictures is sure of; None of each where it has none."""
    if base.reader is None:
        return [None] * len(photos)
    reader = load_reader(base.reader)
    return [worded(reader.read_surely(Image.fromarray(p.pixels), SURE)) for p in photos]


def worded(reading: Reading) -> Seen:
    """What a reading says of the rest of the picture, in the words of a caption."""
    found = Seen()
    if "clothes" in reading:
        worn = " ".join(filter(None, (reading.get("clothes_colour"), reading["clothes"])))
        found["worn"] = worn if worn.endswith("overalls") else _with_article(worn)
    if "mood" in reading:
        found["mood"] = reading["mood"]
    if "background" in reading:
        found["place"] = _place(reading["background"])
    if reading.get("position", "centre") != "centre":
        found["position"] = f"on the {reading['position']}"
    return found


def _place(background: str) -> str:
    if background in PLACES:
        return PLACES[background]
    return f"on {_with_article(background.removesuffix(' wall'))} background"


def _with_article(thing: str) -> str:
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"
