"""A picture continued beyond its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter

from fluxbooth.errors import InputError
from fluxbooth.photos import buckets
from fluxbooth.prompts.options import MOST_OUTPAINTED

if TYPE_CHECKING:
    from fluxbooth.generation.enhance.redraw import Redraw

# strength at which what is new is laid out, in one piece of native area: above it the colours that
# begin it are forgotten, and a horizon jumps at the old edge
COMPOSED = 0.65
DETAILED = 0.35  # and at which windows then draw it at its own size
# what the new side takes over of the old one's colours fades over one part in so many of the
# canvas's shorter side
FADES = 12
Box = tuple[int, int, int, int]


def canvas(
    size: tuple[int, int], anchor: str, width: int | None, height: int | None
) -> tuple[tuple[int, int], Box]:
    """(width, height) of the larger picture, and the box in it where one of `size` stays; all in
    pixels.

    Of `width` and `height` a missing one is as the other. Raises InputError if the picture has no
    room in it, or it is larger than `MOST_OUTPAINTED`.
    """
    whole = (width or height or size[0], height or width or size[1])
    if whole[0] < size[0] or whole[1] < size[1] or whole == size:
        raise InputError(
            f"Outpainting to {whole[0]} x {whole[1]} pixels adds nothing to a picture of "
            f"{size[0]} x {size[1]}: give a larger outpaint width and height."
        )
    if whole[0] * whole[1] > MOST_OUTPAINTED:
        raise InputError(
            f"Outpainting to {whole[0]} x {whole[1]} pixels is more than can be drawn: use at "
            "most 2048 x 2048, or as many pixels in another shape."
        )
    down, _, across = anchor.rpartition("-")
    if anchor in ("left-center", "right-center"):
        down, across = "center", down
    shares = {"top": 0.0, "left": 0.0, "bottom": 1.0, "right": 1.0}
    left, top = (
        round((most - side) * shares.get(word, 0.5))
        for most, side, word in zip(whole, size, (across, down), strict=True)
    )
    return whole, (left, top, left + size[0], top + size[1])


def outpaint(
    image: Image.Image,
    redraw: Redraw,
    *,
    anchor: str,
    width: int | None,
    height: int | None,
    seed: int,
    text: str | None = None,
) -> Image.Image:
    """The picture at its place in a larger one, whose other parts are drawn to fit it; its own
    pixels stay what they are.

    Args:
        image: RGB.
        redraw: What draws; `text`, one of its texts, is for the new part.
        anchor: One of the words of the option `outpaint`: where the picture sits.
        width: Pixels of the larger one; `height` likewise, see `canvas`.
        seed: Of the noise.

    Raises InputError as `canvas` does.
    """
    whole, place = canvas(image.size, anchor, width, height)
    start = _continued(image, whole, place, seed)
    new = Image.new("L", whole, 255)
    new.paste(0, place)
    strength = COMPOSED
    if whole[0] * whole[1] > redraw.largest_area:
        native = buckets.bucket(*whole, redraw.native_side**2)
        layout = redraw(
            start.resize(native, Image.Resampling.LANCZOS),
            strength=COMPOSED,
            seed=seed,
            mask=new.resize(native, Image.Resampling.NEAREST),
            text=text,
        ).resize(whole, Image.Resampling.LANCZOS)
        start = _joined(image, layout, place)
        strength = DETAILED
    drawn = redraw.drawn(start, strength=strength, seed=seed, mask=new, text=text)
    return _joined(image, drawn, place)


def _continued(image: Image.Image, whole: tuple[int, int], place: Box, seed: int) -> Image.Image:
    """Its last pixels go on to the edges of the canvas, ever more blurred, with some noise: colours
    to begin with."""
    left, top, right, bottom = place
    around = [(top, whole[1] - bottom), (left, whole[0] - right), (0, 0)]
    edge = Image.fromarray(np.pad(np.asarray(image), around, mode="edge"))
    soft = edge.filter(ImageFilter.GaussianBlur(min(whole) / 16))
    noise = np.random.default_rng(seed).normal(0, 16, (whole[1], whole[0], 3))
    pixels = np.clip(np.asarray(soft) + noise, 0, 255).astype(np.uint8)
    continued = Image.fromarray(pixels)
    continued.paste(image, place)
    return continued


def _joined(image: Image.Image, drawn: Image.Image, place: Box) -> Image.Image:
    """`drawn` with the picture's own pixels in their place.

    The base drew those, too, a little otherwise. By how much, along the edge, is added to the new
    side and fades away from it: so colours meet there, and lines that cross it stay.
    """
    left, top, right, bottom = place
    pixels = np.asarray(drawn).astype(np.float32)
    off = np.asarray(image).astype(np.float32) - pixels[top:bottom, left:right]
    off = _smooth(off)
    around = [(top, drawn.height - bottom), (left, drawn.width - right), (0, 0)]
    y, x = np.mgrid[: drawn.height, : drawn.width]
    far = np.hypot(
        np.maximum(np.maximum(left - 1 - x, x - right), 0),
        np.maximum(np.maximum(top - 1 - y, y - bottom), 0),
    )
    fading = np.exp(-far * FADES / min(drawn.size))[..., None]
    joined = np.clip((pixels + fading * np.pad(off, around, mode="edge")).round(), 0, 255)
    result = Image.fromarray(joined.astype(np.uint8))
    result.paste(image, place)
    return result


def _smooth(grid: np.ndarray) -> np.ndarray:
    """H x W x 3: the mean of each cell and its eight neighbours, so that one odd pixel is not
    drawn out into a line."""
    height, width = grid.shape[:2]
    padded = np.pad(grid, [(1, 1), (1, 1), (0, 0)], mode="edge")
    parts = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.mean(parts, axis=0)
