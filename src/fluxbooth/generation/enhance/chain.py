"""The steps that follow a drawing, in the order of the contract: people, outpainting,
super-resolution, hires fix, faces, colour grading, grain, what is outside the mask put back,
background removed.

Each step that is asked for takes a picture and gives one, and says what it used; the picture's
metadata names them in order. All of them follow from the picture's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image, ImageChops

from fluxbooth.errors import InputError
from fluxbooth.events import Enhancing
from fluxbooth.generation.enhance import (
    background,
    faces,
    film,
    heads,
    masks,
    outpainting,
    progress,
    upscaling,
)
from fluxbooth.generation.enhance import people as enhance_people
from fluxbooth.generation.enhance.people import Somebody
from fluxbooth.generation.enhance.progress import Progress
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.models import enlarging
from fluxbooth.models.base import Base
from fluxbooth.specs import EnhanceSpec
from fluxbooth.types import Json


@dataclass(frozen=True)
class Work:
    """What the steps may use.

    Attributes:
        spec: What is asked.
        seed: That of the picture.
        base: The row of the base, whether it is in memory or not.
        redraw: Draws anew with the base, text and LoRAs of the picture; there if a step draws.
        people: Who is in the picture, if there are several with LoRAs of their own.
        shown: The row of the base whose pictures this one looks like, where that is another.
        mask: L, white where the picture was drawn anew, if only a part of it was.
        alpha: L, the transparency of a picture that was given.
        report: Told how far a step is that takes long.
    """

    spec: EnhanceSpec
    seed: int
    base: Base
    redraw: Redraw | None = None
    people: Sequence[Somebody] = ()
    shown: Base | None = None
    mask: Image.Image | None = None
    alpha: Image.Image | None = None
    report: Callable[[Enhancing], None] = lambda event: None

    def drawing(self, step: str) -> Redraw:
        """What draws anew, in a step that says how far it is."""
        assert self.redraw is not None
        return replace(self.redraw, tell=Progress(step, self.report))

    @property
    def kind(self) -> Base:
        """What finds people and parts of them goes by this."""
        return self.shown or self.base


def enhance(image: Image.Image, work: Work) -> tuple[Image.Image, list[Json]]:
    """The picture after all steps that are asked for, and what each used, in order; `drawn` is how
    much it did, `why` the reason if that is less than what was asked for.
    """
    spec, told = work.spec, list[Json]()
    if work.people:
        found = heads.find(image, work.kind)
        image = enhance_people.draw_people(image, work.people, found, seed=work.seed)
        told.append(
            {
                "step": "people",
                "drawn": min(len(found), len(work.people)),
                "strength": enhance_people.STRENGTH,
            }
        )
        if len(found) < len(work.people):
            told[-1]["why"] = (
                f"{len(found)} of {len(work.people)} people were found in the picture, and the "
                "others look like nobody: draw it again with another seed, or wider."
            )
    if work.redraw and spec.outpaint:
        image, work = _outpainted(image, work, told)
    image = _enlarged(image, work, told)
    enlarged = image
    if work.redraw and (spec.hires_fix or spec.tiled_upscale or spec.tiled_upscale_v2):
        strength = spec.hires_denoising_strength
        image = work.drawing("hires_fix")(image, strength=strength, seed=work.seed)
        told.append({"step": "hires_fix", "strength": strength})
    if work.redraw and (spec.inpaint_faces or spec.face_correct):
        image = _with_faces(image, work.redraw, work, told)
    if spec.color_grading:
        image = film.grade(image, spec.color_grading, work.seed)
        told.append({"step": "color_grading", "film": spec.color_grading})
    if spec.film_grain:
        image = film.grain(image, work.seed)
        told.append({"step": "film_grain"})
    if spec.restore_mask and work.mask:
        image = masks.restored(image, enlarged, work.mask)
        told.append({"step": "restore_mask"})
    if spec.remove_background:
        image = _without_background(image, work, told)
    return (image if work.alpha is None else _transparent(image, work.alpha)), told


def _transparent(image: Image.Image, alpha: Image.Image) -> Image.Image:
    """With the transparency that the picture had, and what was cut out of it since."""
    image, alpha = image.copy(), alpha.resize(image.size, Image.Resampling.LANCZOS)
    if image.mode == "RGBA":
        alpha = ImageChops.darker(alpha, image.getchannel("A"))
    image.putalpha(alpha)
    return image


def _outpainted(image: Image.Image, work: Work, told: list[Json]) -> tuple[Image.Image, Work]:
    """The larger picture, and the work on it: what is new in it was drawn, as the mask says."""
    spec = work.spec
    anchor, asked = spec.outpaint or "center", (spec.outpaint_width, spec.outpaint_height)
    told.append({"step": "outpaint", "anchor": spec.outpaint})
    larger = outpainting.outpaint(
        image,
        work.drawing("outpaint"),
        anchor=anchor,
        width=spec.outpaint_width,
        height=spec.outpaint_height,
        seed=work.seed,
        text=spec.outpaint_prompt,
    )
    if work.mask is None:
        return larger, work
    whole, (left, top, *_) = outpainting.canvas(image.size, anchor, *asked)
    mask = Image.new("L", whole, 255)
    mask.paste(work.mask.resize(image.size, Image.Resampling.BILINEAR), (left, top))
    return larger, replace(work, mask=mask)


def _enlarged(image: Image.Image, work: Work, told: list[Json]) -> Image.Image:
    factor = work.spec.enlargement(image.size, work.base.native_area)
    if factor <= 1:
        return image
    tell = Progress("super_resolution", work.report)
    large, method = _upscale(image, factor, apart=work.redraw is None, tell=tell)
    told.append({"step": "super_resolution", "factor": factor, "by": method})
    return large


def _with_faces(image: Image.Image, redraw: Redraw, work: Work, told: list[Json]) -> Image.Image:
    boxes, spec = heads.find(image, work.kind), work.spec
    strength = spec.face_inpaint_denoising or (
        faces.INPAINT_STRENGTH if spec.inpaint_faces else faces.CORRECT_STRENGTH
    )
    how = {"seed": work.seed, "strength": strength, "enlarge": _enlarge}
    if work.people:  # each with their own LoRA, as in the smaller picture
        drawn = min(len(boxes), len(work.people))
        image = enhance_people.draw_people(image, work.people, boxes, **how)
    else:
        drawn = len(faces.small(boxes, image.size))
        image = faces.inpaint_faces(image, redraw, boxes, **how)
    told.append({"step": "faces", "found": len(boxes), "drawn": drawn, "strength": strength})
    return image


def _without_background(image: Image.Image, work: Work, told: list[Json]) -> Image.Image:
    """A picture stays as it is where there is nothing to cut out of it."""
    try:
        image = background.remove(image, work.kind)
    except InputError as error:
        told.append({"step": "remove_background", "drawn": 0, "why": str(error)})
    else:
        told.append({"step": "remove_background"})
    return image


def _enlarge(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    factor = min(max(size[0] / image.width, size[1] / image.height), upscaling.FACTORS[-1])
    return _upscale(image, factor, apart=False).image


def _upscale(
    image: Image.Image, factor: float, *, apart: bool, tell: progress.Tell = progress.silent
) -> upscaling.Upscaled:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = enlarging.network_for(*image.size, device, apart=apart)
    return upscaling.upscale(image, factor, network=network, device=device, tell=tell)
