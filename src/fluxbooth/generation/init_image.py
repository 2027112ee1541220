"""A picture to start from instead of pure noise, and a mask that says which part of it is drawn
anew."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from fluxbooth import picture_files
from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import masks
from fluxbooth.models.base import Base
from fluxbooth.photos import inspection
from fluxbooth.specs import GenerateSpec

STRENGTH = 0.8
SOFT = 64  # the edge of a mask is blended over one part in so many of the picture's shorter side


@dataclass(frozen=True)
class StartPicture:
    """`image` is RGB, `mask` L of the same size: white is drawn anew, black stays. Without a
    mask all of it is drawn anew. `alpha`, L, is the transparency of a picture that stays as it is;
    one of which something is drawn lies on white, and `flattened` says so."""

    image: Image.Image
    mask: Image.Image | None
    # share of the noise levels that are gone through: 0 keeps the picture, 1 forgets it
    strength: float
    digest: str
    alpha: Image.Image | None = None
    flattened: bool = False
    drawn_by: str | None = None  # the base, if the file says so
    source: str | None = None  # what its file says of where it comes from

    def fitted(self, size: tuple[int, int]) -> StartPicture:
        """Of that width and height in pixels: scaled to cover it, what sticks out is cut off on
        both sides alike."""
        image = ImageOps.fit(self.image, size, Image.Resampling.LANCZOS)
        mask = ImageOps.fit(self.mask, size, Image.Resampling.BILINEAR) if self.mask else None
        alpha = ImageOps.fit(self.alpha, size, Image.Resampling.LANCZOS) if self.alpha else None
        return replace(self, image=image, mask=mask, alpha=alpha)

    @property
    def stays(self) -> bool:
        """Whether nothing is drawn: any strength above 0 is a step at least."""
        return self.strength == 0

    def kept(self, drawn: Image.Image) -> Image.Image:
        """What was drawn, with the picture's own pixels where the mask says that they stay: the
        autoencoder changes them all a little."""
        if self.mask is None:
            return drawn
        soft = self.mask.filter(ImageFilter.GaussianBlur(min(self.mask.size) / SOFT))
        return Image.composite(drawn, self.image, soft)

    @property
    def recipe(self) -> dict[str, Any]:
        told = {"sha256": self.digest, "strength": self.strength, "masked": self.mask is not None}
        told |= {"source": self.source} if self.source else {}
        return told | ({"drawn_by": self.drawn_by} if self.drawn_by else {})


def read(spec: GenerateSpec, shown: Base) -> StartPicture | None:
    """What `spec.input_image` names, decoded in a process of its own, with the mask that the spec
    gives or describes; `shown` is of the base whose pictures look like it.

    Raises InputError for files that will not do, and for words that the picture does not show.
    """
    if spec.input_image is None:
        return None
    (picture,) = inspection.read([spec.input_image], alpha=True)
    given = Image.fromarray(picture.pixels)
    image = picture_files.on_white(given)
    mask = _mask(spec, image, shown)
    strength = STRENGTH if spec.denoising_strength is None else spec.denoising_strength
    strength = 0.0 if spec.only_upscale else strength
    stays = strength == 0 and not spec.outpaint
    alpha = given.getchannel("A") if given.mode == "RGBA" and stays else None
    if alpha is not None:  # else steps that follow would draw the colours of nothing into the edge
        image = masks.filled(given.convert("RGB"), alpha.point(_clear))
    if mask is not None and spec.fill:
        image = masks.filled(image, mask)
    data = Path(spec.input_image).read_bytes()
    return StartPicture(
        image,
        mask,
        strength,
        hashlib.sha256(data).hexdigest(),
        alpha,
        flattened=given.mode == "RGBA" and not stays,
        drawn_by=picture_files.base_said(data),
        source=picture_files.source_said(data),
    )


def _clear(value: int) -> int:
    return 0 if value else 255


def _mask(spec: GenerateSpec, image: Image.Image, row: Base) -> Image.Image | None:
    """L of the picture's size: a mask by words wins over a file."""
    if spec.mask_prompt:
        mask = masks.by_words(image, spec.mask_prompt, row, spec.mask_negative or "")
    elif spec.mask_image is not None:
        mask = _drawn_mask(spec.mask_image, image.size)
    else:
        return None
    return masks.adjusted(
        mask,
        invert=spec.mask_invert,
        dilate=spec.mask_dilate or "0",
        blur=spec.mask_blur or 0,
    )


def _drawn_mask(path: str, size: tuple[int, int]) -> Image.Image:
    (drawn,) = inspection.read([path])
    mask = Image.fromarray(drawn.pixels).convert("L").resize(size, Image.Resampling.BILINEAR)
    if not np.asarray(mask).any():
        raise InputError(
            f"The mask {Path(path).name} is all black, so nothing would be "
            "drawn: white is what is drawn anew."
        )
    return mask
