"""A picture continued beyond its edges."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import harmonic
from fluxbooth.generation.enhance.tiles import ALIGN
from fluxbooth.photos import buckets
from fluxbooth.prompts.options import MOST_OUTPAINTED

if TYPE_CHECKING:
    from fluxbooth.generation.enhance.redraw import Redraw

# strength at which what is new is laid out, in one piece of native area: above it the lines that
# begin it are forgotten, and a horizon jumps at the old edge
COMPOSED = 0.45
DETAILED = 0.3  # and at which windows then draw it at its own size
# at the old edge what begins it is kept until this share of the noise is left; all of it is free
# from a part of the picture's shorter side away
HELD, REACH = 0.25, 1 / 3
# tones are compared over so many pixels on each side of the old edge, without the last of each,
# which an autoencoder draws a little otherwise than the rest
NEAR, LAST = 6, 2
STEP = 20.0  # of 255: a difference of tones from which on it is something that ends there
# pixels over which the new side takes over what is odd about the old one's last pixels
FADING = 4.0
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
    size, (left, top, *_) = canvas(image.size, anchor, width, height)
    # tokens begin at the old edge: none shows old and new
    more, above = -left % ALIGN, -top % ALIGN
    whole, place = (size[0] + more, size[1] + above), _at((left + more, top + above), image.size)
    start, new = _continued(image, whole, place), _freedom(whole, place)
    strength = COMPOSED
    if whole[0] * whole[1] > redraw.largest_area:
        native = buckets.bucket(*whole, redraw.native_side**2)
        layout = redraw.drawn(
            start.resize(native, Image.Resampling.LANCZOS),
            strength=COMPOSED,
            seed=seed,
            mask=new.resize(native, Image.Resampling.NEAREST),
            text=text,
            gradual=True,
        ).resize(whole, Image.Resampling.LANCZOS)
        start = _joined(image, layout, place)
        strength = DETAILED
    drawn = redraw.drawn(start, strength=strength, seed=seed, mask=new, text=text, gradual=True)
    return _joined(image, drawn, place).crop(_at((more, above), size))


def _at(corner: tuple[int, int], size: tuple[int, int]) -> Box:
    return *corner, corner[0] + size[0], corner[1] + size[1]


def _freedom(whole: tuple[int, int], place: Box) -> Image.Image:
    """L: 0 in the old part, and in the new one the lighter the further away."""
    reach = REACH * min(place[2] - place[0], place[3] - place[1])
    share = HELD + (1 - HELD) * (_distance(whole, place) / reach).clamp(max=1)
    mask = (255 * share * (1 - _inside(whole, place, 0)[0])).round().byte()
    return Image.fromarray(mask.numpy())


def _distance(size: tuple[int, int], place: Box) -> Tensor:
    """H x W: pixels from the box, 0 inside."""
    left, top, right, bottom = place
    x, y = torch.arange(size[0]), torch.arange(size[1])
    across, down = (
        torch.maximum(low - at, at - high + 1).clamp(min=0).float()
        for low, at, high in ((left, x, right), (top, y, bottom))
    )
    return torch.hypot(across, down[:, None])


def _continued(image: Image.Image, whole: tuple[int, int], place: Box) -> Image.Image:
    """Lines that end at its edges go on straight, the softer the further away (each line of pixels
    is the one before, blurred by 1 2 1): what the new part begins from."""
    left, top, right, bottom = place
    pixels = np.zeros((whole[1], whole[0], 3), np.float32)
    pixels[top:bottom, left:right] = np.asarray(image)
    for x in reversed(range(left)):
        pixels[top:bottom, x] = _softened(pixels[top:bottom, x + 1])
    for x in range(right, whole[0]):
        pixels[top:bottom, x] = _softened(pixels[top:bottom, x - 1])
    for y in reversed(range(top)):
        pixels[y] = _softened(pixels[y + 1])
    for y in range(bottom, whole[1]):
        pixels[y] = _softened(pixels[y - 1])
    return Image.fromarray(pixels.round().astype(np.uint8))


def _softened(line: np.ndarray) -> np.ndarray:
    padded = np.pad(line, [(1, 1), (0, 0)], mode="edge")
    return (padded[:-2] + 2 * line + padded[2:]) / 4


def _joined(image: Image.Image, drawn: Image.Image, place: Box) -> Image.Image:
    """`drawn` with the picture's own pixels in their place, and tones that go on across its edges.

    What is missing at each pixel of the old edge is spread over the new part by a harmonic
    function: tones along the whole edge reach far, those of a few pixels fade within as many.
    """
    pixels, own = _pixels(drawn), torch.zeros(3, drawn.height, drawn.width)
    left, top, right, bottom = place
    own[:, top:bottom, left:right] = _pixels(image)
    # to the picture from what the base made of it; then, where there is a step of tone from one
    # side of the edge to the other but no end of a thing, by that step
    old, new = _inside(drawn.size, place, 0), 1 - _inside(drawn.size, place, LAST)
    missing = _mean(own - pixels, old)
    step = _mean(own, _inside(drawn.size, place, -LAST)) - _mean(pixels, new)
    more = (step - missing) * (_mean(new, torch.ones_like(new)) > 0)
    more *= (1 - (more.abs().amax(0) / STEP).square()).clamp(min=0).square()  # Tukey's biweight
    odd = (_mean(own - pixels, old, 1) - missing)[:, top:bottom, left:right]
    pixels += harmonic.continued((missing + more) * old, old) + _fading(odd, drawn.size, place)
    joined = pixels.round().clamp(0, 255)
    result = Image.fromarray(joined.byte().permute(1, 2, 0).numpy())
    result.paste(image, place)
    return result


def _pixels(image: Image.Image) -> Tensor:
    return torch.tensor(np.asarray(image)).permute(2, 0, 1).float()


def _inside(size: tuple[int, int], place: Box, wider: int) -> Tensor:
    """1 x H x W: 1 in the box that is so many pixels wider on each side."""
    left, top, right, bottom = place
    mask = torch.zeros(1, size[1], size[0])
    mask[:, max(0, top - wider) : bottom + wider, max(0, left - wider) : right + wider] = 1
    return mask


def _fading(grid: Tensor, size: tuple[int, int], place: Box) -> Tensor:
    """The grid of the place with the values of its edges around it, less and less of them."""
    left, top, right, bottom = place
    around = left, size[0] - right, top, size[1] - bottom
    far = _distance(size, place)
    return F.pad(grid[None], around, mode="replicate")[0] * torch.exp(-far / FADING)


def _mean(values: Tensor, where: Tensor, radius: int = NEAR + LAST) -> Tensor:
    """Of C x H x W, over the square around each pixel, of those pixels where 1 x H x W says so."""
    sums, side = torch.cat([values * where, where])[None], 2 * radius + 1
    for kernel in ((1, side), (side, 1)):
        padding = kernel[0] // 2, kernel[1] // 2
        sums = F.avg_pool2d(sums, kernel, 1, padding)
    return sums[0, :-1] / sums[0, -1:].clamp(min=1e-6)
