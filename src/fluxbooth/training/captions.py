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
from fluxbooth.photos.inspection import Photo
from fluxbooth.prompts import mask_words
from fluxbooth.specs import ResolvedTrainSpec

SURE = 0.95  # least probability of what is said
STYLE = "style"  # the class word of LoRAs of a drawing style, whose photos show people
PLACES = {
    "beach": "at the beach", "forest": "in a forest", "city": "in a city at night",
    "mountains": "in snowy mountains", "desert": "in a desert", "space": "among the stars",
    "room": "in a living room", "sunset": "in front of a sunset",
}  # fmt: skip


def written(photos: Sequence[Photo], spec: ResolvedTrainSpec) -> list[Photo]:
    """The photos, those without a caption with that of `spec.captioner`. What is worn and the mood
    are named where the class is a person or a style."""
    weights = registry.find(spec.base).reader
    if spec.captioner == "none" or weights is None:
        return list(photos)
    reader = load_reader(weights)
    people = mask_words.is_person(spec.class_name) or spec.class_name == STYLE
    return [
        photo
        if photo.caption
        else replace(
            photo,
            caption=caption(reader.read_surely(Image.fromarray(photo.pixels), SURE), people=people),
        )
        for photo in photos
    ]


def added(given: Sequence[Photo], photos: Sequence[Photo]) -> dict[str, str]:
    """The captions that were written for photos without one, by the photo's file name."""
    return {
        photo.path.name: photo.caption
        for before, photo in zip(given, photos, strict=False)
        if photo.caption and not before.caption
    }


def caption(seen: Reading, *, people: bool = True) -> str:
    """`[trigger] wearing a red hoodie, smiling, at the beach, on the left`, or less of it."""
    said = []
    if people and "clothes" in seen:
        worn = seen["clothes"]
        worn = f"{seen['clothes_colour']} {worn}" if "clothes_colour" in seen else worn
        said.append(f"wearing {worn if worn.endswith('overalls') else _with_article(worn)}")
    if people and "mood" in seen:
        said.append(seen["mood"])
    if "background" in seen:
        said.append(_place(seen["background"]))
    if seen.get("position", "centre") != "centre":
        said.append(f"on the {seen['position']}")
    if not said:
        return "[trigger]"
    return f"[trigger]{' ' if said[0].startswith('wearing') else ', '}{', '.join(said)}"


def _place(background: str) -> str:
    if background in PLACES:
        return PLACES[background]
    return f"on {_with_article(background.removesuffix(' wall'))} background"


def _with_article(thing: str) -> str:
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"
