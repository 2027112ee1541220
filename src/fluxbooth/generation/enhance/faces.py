"""Faces that were too small to be drawn well, each drawn anew at the base's native size.

They are drawn with the picture's text and LoRAs. At `INPAINT_STRENGTH` a likeness comes back that a
few pixels could not hold; `CORRECT_STRENGTH` mends what is broken in a face, and keeps whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from fluxbooth.generation.enhance import masks

if TYPE_CHECKING:
    from fluxbooth.generation.enhance.heads import Box
    from fluxbooth.generation.enhance.redraw import Redraw

INPAINT_STRENGTH, CORRECT_STRENGTH = 0.65, 0.35
AROUND = 1.65  # side of the square that is drawn, in heights of the head: shoulders are in it
MIDDLE = 0.42  # where the head's middle is in it, from above
# a head whose square takes more than that of the picture's area was drawn with nearly as many
# pixels as it would be anew
LARGE = 0.7
# what is drawn covers the head's box and fades out to so many times its size
SOFT = 1.35
FADE = 0.06  # sides of the square over which it ends before another head
Enlarge = Callable[[Image.Image, tuple[int, int]], Image.Image]  # to width x height in pixels


def small(boxes: Sequence[Box], size: tuple[int, int]) -> list[Box]:
    """Those of the heads in a picture of width x height that gain by being drawn anew."""
    return [box for box in boxes if _side(box) ** 2 <= LARGE * size[0] * size[1]]


def inpaint_faces(
    image: Image.Image,
    redraw: Redraw,
    boxes: Sequence[Box],
    *,
    seed: int,
    strength: float = INPAINT_STRENGTH,
    enlarge: Enlarge | None = None,
) -> Image.Image:
    """The picture with each of its `small` heads drawn anew; as it is without one.

    Args:
        image: RGB.
        redraw: What draws, with the picture's text and LoRAs.
        boxes: Of heads in pixels, as `heads.find` gives them.
        seed: Of the noise; each head takes the next.
        strength: 0 to 1, how far from what is there.
        enlarge: Of a head that has more room in the picture than the base's native size; by
            default Lanczos.
    """
    for number, box in enumerate(small(boxes, image.size)):
        image = draw_head(
            image,
            redraw,
            box,
            boxes,
            seed=seed + number,
            strength=strength,
            enlarge=enlarge,
        )
    return image


def draw_head(
    image: Image.Image,
    redraw: Redraw,
    box: Box,
    boxes: Sequence[Box],
    *,
    seed: int,
    strength: float,
    text: str | None = None,
    enlarge: Enlarge | None = None,
) -> Image.Image:
    """The picture with one of its heads drawn anew at the base's native size, blended in with a
    soft edge in the colours around it; half-way to another of `boxes` it ends."""
    place = square(box)
    before = _cut(image, place)
    native = (redraw.native_side, redraw.native_side)
    mask = _soft(box, place, [other for other in boxes if other != box])
    drawn = redraw.drawn(
        alone(image, box, boxes).resize(native, Image.Resampling.LANCZOS),
        strength=strength,
        seed=seed,
        mask=mask.resize(native, Image.Resampling.BILINEAR),
        text=text,
    )
    if enlarge and before.width > drawn.width:
        drawn = enlarge(drawn, before.size)
    drawn = drawn.resize(before.size, Image.Resampling.LANCZOS)
    changed = image.copy()
    changed.paste(_coloured_as(before, drawn, mask), place[:2], mask)
    return changed


def alone(image: Image.Image, box: Box, boxes: Sequence[Box]) -> Image.Image:
    """The `square` around a head, in which the others of `boxes` are painted over from what is
    around them: what is drawn as one person does not take after the one beside them."""
    place = square(box)
    covered = np.zeros((place[3] - place[1], place[2] - place[0]), np.uint8)
    for other in boxes:
        if other != box:
            covered[np.asarray(_soft(other, place, [box])) > 0] = 255
    seen = _cut(image, place)
    return masks.filled(seen, Image.fromarray(covered)) if covered.any() else seen


def square(box: Box) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of what is drawn around a head, which may lie beyond the picture:
    the base draws people in the middle, and a head that is not there would move."""
    left, top, right, bottom = box
    side = round(_side(box))
    x, y = round((left + right - side) / 2), round((top + bottom) / 2 - MIDDLE * side)
    return x, y, x + side, y + side


def _cut(image: Image.Image, place: tuple[int, int, int, int]) -> Image.Image:
    """What lies in `place`; beyond the picture its last pixels go on."""
    left, top, right, bottom = place
    rows, columns = (
        np.arange(first, last).clip(0, size - 1)
        for first, last, size in ((top, bottom, image.height), (left, right, image.width))
    )
    return Image.fromarray(np.asarray(image.convert("RGB"))[rows[:, None], columns])


def _side(box: Box) -> float:
    return AROUND * max(box[3] - box[1], box[2] - box[0])


def _soft(box: Box, place: tuple[int, int, int, int], others: Sequence[Box]) -> Image.Image:
    """L of the square's size: white on the head's box, with round corners, and fading out around
    it; black from half-way to another head."""
    left, top, right, bottom = box
    y, x = np.mgrid[place[1] : place[3], place[0] : place[2]] + 0.5
    across, down = (
        np.abs(2 * at - low - high) / (high - low)
        for at, low, high in ((x, left, right), (y, top, bottom))
    )
    far = (across**4 + down**4) ** 0.25  # 1 on the edge of the box
    alpha = np.clip((SOFT - far) / (SOFT - 1), 0, 1)
    for other in others:
        alpha *= _this_side(box, other, x, y, FADE * (place[2] - place[0]))
    return Image.fromarray((255 * alpha).round().astype(np.uint8))


def _this_side(box: Box, other: Box, x: np.ndarray, y: np.ndarray, fade: float) -> np.ndarray:
    """1 on the head's side of the line half-way to another, falling to 0 there within `fade`
    pixels: an upright line if they are rather beside than above each other."""
    right, down = ((other[i] + other[i + 2] - box[i] - box[i + 2]) / 2 for i in (0, 1))
    i, at, way = (0, x, right) if abs(right) >= abs(down) else (1, y, down)
    line = (box[i + 2] + other[i]) / 2 if way > 0 else (box[i] + other[i + 2]) / 2
    return np.clip((line - at) * np.sign(way) / fade, 0, 1)


def _coloured_as(before: Image.Image, drawn: Image.Image, mask: Image.Image) -> Image.Image:
    """`drawn`, shifted by what it is off, in each channel, where the mask fades out: there both
    show the same."""
    alpha = np.asarray(mask)
    fading = (alpha > 0) & (alpha < 128)
    if not fading.any():
        return drawn
    old, new = (np.asarray(image).astype(np.float32) for image in (before, drawn))
    shift = np.median(old[fading] - new[fading], axis=0)
    return Image.fromarray(np.clip((new + shift).round(), 0, 255).astype(np.uint8))
