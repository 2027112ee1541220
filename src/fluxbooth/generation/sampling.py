"""Sampling: from noise to pictures through the base's pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fluxbooth import threads
from fluxbooth.generation.init_image import StartPicture
from fluxbooth.generation.references import Reference
from fluxbooth.models.base import Base
from fluxbooth.models.family import Conditioning, Family, Start
from fluxbooth.photos import buckets
from fluxbooth.specs import ResolvedGenerateSpec

BATCH = 8  # pictures denoised together at the native area of nano


@torch.no_grad()
def draw(
    family: Family,
    conditioning: Conditioning,
    seeds: Sequence[int],
    size: tuple[int, int],
    steps: int,
    guidance: float,
    start: StartPicture | None = None,
    references: Sequence[Reference] = (),
    look: Callable[[], None] = lambda: None,
) -> list[Image.Image]:
    """Pictures of one text, one a seed, or of as many texts as there are seeds, width x height
    pixels; the very call that plain diffusers would make. `references` are looked at. `look` is
    called between steps, and may raise to end it.

    `start` is of that size; from one, seeds are drawn one by one, for their noise also decides how
    it is encoded.
    """
    if start and start.stays:
        return [start.image] * len(seeds)
    given: dict[str, Any] = family.pipeline_arguments(conditioning, guidance)
    looked = [reference.image for reference in references]
    if start:
        given |= {"image": start.image, "strength": start.strength} | (
            {"mask_image": start.mask} if start.mask else {}
        )
        given |= {"references": looked} if looked else {}
    elif looked:
        given["image"] = looked
    texts = len(next(iter(conditioning.values())))
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    beside: Start = "reference" if looked else "text"
    pipeline = family.pipeline(beside if start is None else "inpaint" if start.mask else "image")
    width, height = size

    def between_steps(_: Any, step: int, at: Tensor, state: dict[str, Any]) -> dict[str, Any]:
        threads.look()
        look()
        return state

    # numbers that are none become black; `of_one_colour` finds it
    with threads.free_cores(), np.errstate(invalid="ignore"):
        images = pipeline(
            width=width,
            height=height,
            num_inference_steps=steps,
            num_images_per_prompt=len(seeds) // texts,
            generator=generators,
            callback_on_step_end=between_steps,
            **given,
        ).images
    return [start.kept(image) for image in images] if start else images


@dataclass(frozen=True)
class Canvas:
    """`size` is (width, height) of the picture asked for, `drawn` of the one to draw: smaller
    where the base cannot draw so large."""

    size: tuple[int, int]
    drawn: tuple[int, int]
    start: StartPicture | None = None  # of the size `drawn`
    references: tuple[Reference, ...] = ()


def batch_size(row: Base, canvas: Canvas) -> int:
    """How many pictures are drawn together."""
    if canvas.start or canvas.references:
        return 1
    return BATCH if canvas.drawn[0] * canvas.drawn[1] <= 192**2 else 1


def sizes(
    spec: ResolvedGenerateSpec, row: Base, start: StartPicture | None = None
) -> tuple[tuple[int, int], tuple[int, int]]:
    """`size` and `drawn` of a canvas.

    A picture to start from decides the shape if the spec does not, and its very size where nothing
    of it is drawn anew.
    """
    if start and start.stays:
        return start.image.size, start.image.size
    if spec.width and spec.height:
        asked = spec.width, spec.height
    elif start and not spec.aspect_ratio:
        asked = buckets.bucket(*start.image.size, row.native_area)
    else:
        across, down = map(int, (spec.aspect_ratio or "1:1").split(":"))
        asked = buckets.bucket(across * 1000, down * 1000, row.native_area)
    if asked[0] * asked[1] <= row.largest_area:
        return asked, asked
    return asked, buckets.bucket(*asked, row.native_area)
