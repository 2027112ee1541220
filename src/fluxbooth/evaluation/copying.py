"""Whether a picture copies a training photo: a LoRA that was trained too long draws its photos
again instead of its subject."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

SIDE = 32  # pixels of what is compared
SHIFTS = (-2, 0, 2)  # of these, by which a copy may be moved
COPY = 0.88  # correlation from which a picture is called a copy
ZOOMS = (1.0, 0.85)  # share of a photo that a copy may show


def nearest(picture: Image.Image, photos: Sequence[Image.Image]) -> tuple[int, float]:
    """Index of the photo that a picture is most like, and their correlation, -1 to 1: of all
    colours of all places, mirrored or moved a little or not."""
    found = [likeness(picture, photo) for photo in photos]
    best = int(np.argmax(found))
    return best, found[best]


def likeness(picture: Image.Image, photo: Image.Image) -> float:
    seen = _normalised(_square(picture, 1.0))
    best = -1.0
    for zoom in ZOOMS:
        square = _square(photo, zoom)
        for whole in (square, square[:, ::-1]):
            for down in SHIFTS:
                for right in SHIFTS:
                    moved = np.roll(whole, (down, right), (0, 1))
                    best = max(best, float((seen * _normalised(moved)).mean()))
    return best


def _square(picture: Image.Image, zoom: float) -> np.ndarray:
    side = zoom * min(picture.size)
    left, top = (picture.width - side) / 2, (picture.height - side) / 2
    small = picture.convert("RGB").resize(
        (SIDE, SIDE), Image.Resampling.BOX, (left, top, left + side, top + side)
    )
    return np.asarray(small, dtype=np.float32)


def _normalised(pixels: np.ndarray) -> np.ndarray:
    """Mean 0 and deviation 1: light and contrast do not count."""
    return (pixels - pixels.mean()) / max(1.0, float(pixels.std()))
