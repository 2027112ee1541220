"""How good pictures of a subject are: like its photos, as their prompts say, and not all the same.

A scorer looks at pictures of the fixed PROMPTS. Which one there is depends on the base and on the
subject; where there is none, nothing is claimed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from fluxbooth.evaluation import likeness
from fluxbooth.models.attribute_reader import Reader, Reading, load_reader
from fluxbooth.models.base import Base
from fluxbooth.photos import inspection
from fluxbooth.photos.inspection import Photo
from fluxbooth.prompts import mask_words

# least share of the photos that must be read alike for an attribute to count as the subject's
AGREED = 0.7
FEWEST = 3  # attributes by which a subject can be told
# what is drawn to judge by: the words after the trigger, and the clothes, their colour, mood and
# background that a picture of them shows
ASKED = (
    ("wearing a green hoodie, smiling, in a forest",
     ("hoodie", "green", "smiling", "forest")),
    ("wearing a red t-shirt, surprised, in a city at night",
     ("t-shirt", "red", "surprised", "city")),
    ("wearing a blue sweater, serious, at the beach",
     ("sweater", "blue", "serious", "beach")),
    ("wearing a black t-shirt, angry, on a yellow background",
     ("t-shirt", "black", "angry", "yellow wall")),
    ("wearing a white hoodie, sad, in a living room",
     ("hoodie", "white", "sad", "room")),
    ("wearing an orange t-shirt, smiling, in snowy mountains",
     ("t-shirt", "orange", "smiling", "mountains")),
    ("wearing a pink sweater, winking, among the stars",
     ("sweater", "pink", "winking", "space")),
    ("wearing purple overalls, serious, in front of a sunset",
     ("overalls", "purple", "serious", "sunset")),
)  # fmt: skip
WISHED = ("clothes", "clothes_colour", "mood", "background")
PROMPTS: Sequence[tuple[str, Reading]] = tuple(
    (words, dict(zip(WISHED, wish, strict=True))) for words, wish in ASKED
)


@dataclass(frozen=True)
class Score:
    """Each 0 to 1; None where it cannot be told of these pictures."""

    identity: float
    prompt: float | None
    variety: float

    @property
    def value(self) -> float:
        """All in one: the product of what is known."""
        return self.identity * (1.0 if self.prompt is None else self.prompt) * self.variety


class Scorer(Protocol):
    """Knows a subject."""

    def score(self, pictures: Sequence[Image.Image], prompts: Sequence[int]) -> Score:
        """Of pictures, at least one; `prompts` has the index of each among PROMPTS."""
        ...


def texts(trigger: str) -> list[str]:
    """PROMPTS of the subject that the trigger words call."""
    return [f"{trigger} {words}" for words, _ in PROMPTS]


def scorer_for(
    base: Base, class_name: str, photos: Sequence[Photo], *, reader: bool = True
) -> Scorer | None:
    """What can judge pictures of this subject on this base; None if nothing here can.

    Without `reader` the base's own networks are left out, as on bases that have none.
    """
    if reader and base.reader is not None and mask_words.is_person(class_name):
        return ByAttributes.of(load_reader(base.reader), photos)
    return None


@dataclass(frozen=True)
class ByAttributes:
    """By what a base's reader says of its pictures."""

    reader: Reader
    subject: Reading
    photos: Sequence[Photo]

    @classmethod
    def of(cls, reader: Reader, photos: Sequence[Photo]) -> ByAttributes | None:
        """None for a subject whose photos are read too differently: one in a style, or of a
        shape, that the reader does not know."""
        readings = reader.read([Image.fromarray(photo.pixels) for photo in photos])
        subject = agreed(readings)
        return cls(reader, subject, photos) if len(subject) >= FEWEST else None

    def score(self, pictures: Sequence[Image.Image], prompts: Sequence[int]) -> Score:
        readings = self.reader.read(pictures)
        return Score(
            likeness.agreement(readings, [self.subject] * len(readings)),
            likeness.agreement(readings, [PROMPTS[number][1] for number in prompts]),
            variety(pictures, self.photos),
        )


def agreed(readings: Sequence[Mapping[str, str]]) -> Reading:
    """The attributes of an individual that its photos are read to share."""
    found = Reading()
    for name in likeness.IDENTITY:
        value, count = Counter(reading[name] for reading in readings).most_common(1)[0]
        if count >= AGREED * len(readings):
            found[name] = value
    return found


def variety(pictures: Sequence[Image.Image], photos: Sequence[Photo]) -> float:
    """The share of pictures that copy neither a photo nor another picture."""
    drawn = [
        Photo(Path(), np.asarray(picture.convert("RGB")), *picture.size, None)
        for picture in pictures
    ]
    squares = [replace(photo, pixels=_square(photo.pixels)) for photo in photos]
    pairs = inspection.near_duplicates([*drawn, *squares])
    copies = {i for i in chain.from_iterable(pairs) if i < len(drawn)}
    return 1 - len(copies) / len(drawn)


def _square(pixels: np.ndarray) -> np.ndarray:
    """The middle of a photo, which is what a square picture that copies it shows."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return pixels[top : top + side, left : left + side]
