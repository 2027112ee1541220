"""Masks by words: which part of a picture is drawn anew.

A base with a segmenter of its own (nano) has its pictures told apart by that; on photographs, only
people are told from the background.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageChops, ImageFilter, ImageOps
from torch import Tensor

from fluxbooth.errors import InputError
from fluxbooth.generation.enhance.segmenter import Segmenter, load_segmenter
from fluxbooth.generation.enhance.selfie import Selfie, load_selfie
from fluxbooth.models.base import Base
from fluxbooth.prompts import mask_words
from fluxbooth.prompts.mask_words import PARTS

LEAST = 0.0005  # of the picture: a mask of less is none
WIDENED_AREA = 1024**2  # pixels


def by_words(image: Image.Image, words: str, base: Base, negative: str = "") -> Image.Image:
    """A mask of the size of `image`, mode L, white where it shows what the `words` name and not
    what the `negative` ones do.

    Raises InputError for words that cannot be told apart on such pictures, and where the picture
    shows nothing of what they name.
    """
    every = base.segmenter is not None
    wanted = mask_words.parts_of(words, every)
    taken = mask_words.parts_of(negative, every) if negative.strip() else frozenset[str]()
    if not wanted - taken:
        raise InputError(f'mask_negative "{negative}" takes out all that mask_prompt names.')
    mask = _mask(image, wanted - taken, base)
    if np.asarray(mask).mean() < LEAST * 255:
        raise InputError(
            f'The picture shows no "{words.strip()}" that could be masked: name something else, '
            "or upload a mask_image."
        )
    return mask


def _mask(image: Image.Image, parts: frozenset[str], base: Base) -> Image.Image:
    return likelihood(image, parts, base).point(_white)


def _white(value: int) -> int:
    return 255 if value > 127 else 0


def likelihood(image: Image.Image, parts: frozenset[str], base: Base) -> Image.Image:
    """How sure it is at each pixel that it shows one of these PARTS, mode L, 0 to 255."""
    if base.segmenter is None:
        person = _selfie().segment(image)
        chances = 1 - person if "background" in parts else person
    else:
        every = _segmenter(base.segmenter).segment(image)
        chances = every[..., [PARTS.index(part) for part in sorted(parts)]].sum(2)
    small = Image.fromarray((chances.clip(0, 1) * 255).round().astype(np.uint8))
    return small.resize(image.size, Image.Resampling.BICUBIC)


def adjusted(
    mask: Image.Image, *, invert: bool = False, dilate: str = "0", blur: float = 0
) -> Image.Image:
    """The mask inverted, then widened by pixels (`12`) or percent of its shorter side (`5%`) or
    narrowed (`-20%`), then blurred over so many pixels.

    Raises InputError where nothing of it is left.
    """
    result = ImageOps.invert(mask) if invert else mask
    by = mask_words.pixels(dilate, min(mask.size))
    if by:
        result = _widened(result, by) if by > 0 else _narrowed(result, -by)
    if result.getbbox() is None:
        raise InputError(
            "Nothing is left of the mask, so nothing would be drawn: "
            + ("narrow it less." if by < 0 else "leave mask_invert out.")
        )
    return result.filter(ImageFilter.GaussianBlur(blur)) if blur else result


def filled(image: Image.Image, mask: Image.Image) -> Image.Image:
    """What the mask covers, painted over from its surroundings, smoothly ("push-pull", Gortler et
    al. 1996); all else stays. A mask of everything leaves the picture as it is."""
    if np.asarray(mask).min() == 255:
        return image
    known = 1 - torch.tensor(np.asarray(mask), dtype=torch.float32)[None] / 255
    colours = torch.tensor(np.asarray(image.convert("RGB"))).permute(2, 0, 1) / 255
    result = (_pulled(colours * known, known) * 255).round().byte().permute(1, 2, 0).numpy()
    return Image.composite(Image.fromarray(result), image.convert("RGB"), mask)


def _pulled(colours: Tensor, known: Tensor) -> Tensor:
    """C x H x W, whose gaps are those of half the size, enlarged; `colours` are times `known`, 1 x
    H x W of 0 to 1."""
    height, width = known.shape[1:]
    if min(height, width) == 1:
        return colours.sum((1, 2), True) / known.sum().clamp(min=1e-6) + 0 * colours
    half = (height + 1) // 2, (width + 1) // 2
    mean = F.interpolate(torch.cat([colours, known])[None], half, mode="area")[0]
    seen = (4 * mean[-1:]).clamp(max=1)
    below = _pulled(mean[:-1] / mean[-1:].clamp(min=1e-6) * seen, seen)
    larger = F.interpolate(below[None], (height, width), mode="bilinear")[0]
    return colours + (1 - known) * larger


def restored(image: Image.Image, original: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with the `original`'s pixels where the mask is black, both of them scaled to its
    size."""
    before = original.convert("RGB").resize(image.size, Image.Resampling.LANCZOS)
    return Image.composite(image, before, mask.resize(image.size, Image.Resampling.BILINEAR))


def _widened(mask: Image.Image, by: int) -> Image.Image:
    """All that is within a circle of `by` pixels around what is white; of a mask of more than
    WIDENED_AREA to the pixels of one of that area."""
    share = min(1.0, (WIDENED_AREA / (mask.width * mask.height)) ** 0.5)
    if share < 1:
        small = mask.resize([round(side * share) for side in mask.size], Image.Resampling.BOX)
        wide = _widened(small, max(1, round(by * share))).resize(mask.size)
        return ImageChops.lighter(wide, mask).point(_white)
    y, x = np.ogrid[-by : by + 1, -by : by + 1]
    disc, white = x**2 + y**2 <= by**2, np.asarray(mask) > 127
    size = tuple(side + 2 * by for side in white.shape)
    spectrum = np.fft.rfft2(white, size) * np.fft.rfft2(disc, size)
    met = np.fft.irfft2(spectrum, size)[by:-by, by:-by]  # how much white each circle holds
    return Image.fromarray(np.where(met > 0.5, 255, 0).astype(np.uint8))


def _narrowed(mask: Image.Image, by: int) -> Image.Image:
    """Not at the picture's own edges: what is white there may go on beyond."""
    return ImageOps.invert(_widened(ImageOps.invert(mask), by))


@functools.cache
def _segmenter(path: Path) -> Segmenter:
    return load_segmenter(path)


@functools.cache
def _selfie() -> Selfie:
    return load_selfie()
