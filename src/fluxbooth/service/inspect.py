"""What can be measured of one photo. Nothing is guessed: what needs a face or a language model to tell is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fluxbooth import models, photocheck
from fluxbooth.errors import InputError
from fluxbooth.service.errors import Invalid

LOOKED_AT = 512 * 512  # pixels, which is what sharpness is measured on


def inspect(path: Path, base: str) -> dict[str, Any]:
    """blurry, low_resolution (less than the smallest size that `base` trains at), low_quality (either). `name` is always "", for no class
    is recognised. Raises Invalid for what is no picture; the file is decoded in a process of its own."""
    try:
        photo = photocheck.read([path], max_pixels=LOOKED_AT)[0]
    except InputError as error:
        raise Invalid({"file": [str(error).replace(path.name, "the file")]}) from None
    side = min(models.find(base).resolutions)
    blurry, low = photocheck.sharpness(photo.pixels) < photocheck.BLURRED, photo.width * photo.height < side * side
    return {"name": "", "blurry": blurry, "low_resolution": low, "low_quality": blurry or low, "width": photo.width, "height": photo.height}
