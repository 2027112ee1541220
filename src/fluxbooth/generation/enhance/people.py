"""Several people in one picture, each with a LoRA of their own.

Two LoRAs of people that are added up give twins. So the base alone draws the scene, from the text
without the words that call anybody (`prompts/several.py`); then the head of each person, from left
to right, is drawn anew with that person's LoRA alone (`faces.py`), as strongly as it takes to be
somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from fluxbooth.generation.enhance import faces

if TYPE_CHECKING:
    from fluxbooth.generation.enhance.faces import Enlarge
    from fluxbooth.generation.enhance.heads import Box
    from fluxbooth.generation.enhance.redraw import Redraw

STRENGTH = 0.85


@dataclass(frozen=True)
class Somebody:
    """Who is drawn: `redraw` with their LoRA alone, and the text that calls them."""

    redraw: Redraw
    text: str


def draw_people(
    image: Image.Image,
    people: Sequence[Somebody],
    boxes: Sequence[Box],
    *,
    seed: int,
    strength: float = STRENGTH,
    enlarge: Enlarge | None = None,
) -> Image.Image:
    """A scene with the heads of its people drawn anew, first for first: of more heads than people
    the largest are taken, and with fewer the last people are left out.

    Args:
        image: RGB, drawn without anybody's LoRA.
        people: From left to right.
        boxes: Of the heads, as `heads.find` gives them.
        seed: Of the noise; each head takes the next.
        strength: 0 to 1, how far from what the scene shows there.
        enlarge: As in `faces.inpaint_faces`.
    """
    largest = sorted(boxes, key=lambda box: box[1] - box[3])[: len(people)]
    for number, (who, box) in enumerate(zip(people, sorted(largest), strict=False)):
        image = faces.draw_head(
            image,
            who.redraw,
            box,
            largest,
            seed=seed + number,
            strength=strength,
            text=who.text,
            enlarge=enlarge,
        )
    return image
