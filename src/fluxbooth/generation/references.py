"""Pictures that a text is also drawn from: a face, clothes, a place, or the picture that is to be
changed as the text says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fluxbooth.errors import InputError
from fluxbooth.generation.init_image import StartPicture
from fluxbooth.photos import inspection
from fluxbooth.specs import GenerateSpec

# what a base that looks at pictures can take, as Black Forest Labs' own program has it; that gives
# a picture alone four times the pixels, and the memory that they take
LARGEST = 1024**2  # pixels; a larger picture is scaled down
SHORTEST = 64  # pixels of a side
LONGEST = 8  # times as long as the other side
ALIGN = 16  # pixels of a token


@dataclass(frozen=True)
class Reference:
    """`image` is RGB, of whole tokens."""

    image: Image.Image
    digest: str
    edited: bool = False  # whether it is the input image

    @property
    def recipe(self) -> dict[str, Any]:
        return {"sha256": self.digest} | ({"edited": True} if self.edited else {})


def read(spec: GenerateSpec) -> tuple[Reference, ...]:
    """What `spec.references` name, each decoded in a process of its own.

    Raises InputError for files that will not do.
    """
    return tuple(_read(Path(path)) for path in spec.references)


def _read(path: Path) -> Reference:
    if path.is_dir():
        raise InputError(f"The reference {path} is a folder: name the picture in it.")
    (picture,) = inspection.read([path])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Reference(fitted(Image.fromarray(picture.pixels), path.name), digest)


def of(start: StartPicture) -> Reference:
    """The input image, looked at instead of started from."""
    return Reference(fitted(start.image, "input image"), start.digest, edited=True)


def fitted(image: Image.Image, name: str) -> Image.Image:
    """Scaled down to `LARGEST`, and what sticks out of whole tokens cut off on both sides alike.

    Raises InputError for a picture that is too small or too long; `name` is that of its file.
    """
    if min(image.size) < SHORTEST or max(image.size) > LONGEST * min(image.size):
        raise InputError(
            f"The reference {name} is {image.width} x {image.height} pixels: its sides must be at "
            f"least {SHORTEST} pixels, and one at most {LONGEST} times the other."
        )
    if image.width * image.height > LARGEST:
        scale = (LARGEST / (image.width * image.height)) ** 0.5
        size = int(image.width * scale), int(image.height * scale)
        image = image.resize(size, Image.Resampling.LANCZOS)
    width, height = (side // ALIGN * ALIGN for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
