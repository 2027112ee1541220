"""The crop of a photo, and the shape that it is trained in."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from fluxbooth.errors import InputError

WIDEST = 3.0  # bucket aspects lie in 1:3..3:1


# Buckets: a picture keeps its shape.


def bucket(width: int, height: int, area: int, multiple: int = 16) -> tuple[int, int]:
    """The (width, height) to train a picture at: multiples of `multiple`, near its aspect and near
    `area` pixels.

    Aspects lie in 1:3..3:1 and the area is never above 1.1 x `area`. InputError: `area` is less
    than one tile.
    """
    if height > width:
        h, w = bucket(height, width, area, multiple)
        return w, h
    aspect = min(width / height, WIDEST)
    most = int(1.1 * area / multiple**2)
    if most < 1:
        raise InputError(
            f"An area of {area} pixels is too small: take at least {multiple} x {multiple}."
        )

    def misfit(tiles: tuple[int, int]) -> float:
        w, h = tiles
        return abs(math.log(w / h / aspect)) + 0.5 * abs(math.log(w * h * multiple**2 / area))

    rows = range(1, math.isqrt(most) + 1)
    w, h = min(
        ((w, h) for h in rows for w in range(h, min(most // h, int(WIDEST * h)) + 1)), key=misfit
    )
    return w * multiple, h * multiple


def crop_box(width: int, height: int, bucket: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest centred (left, top, right, bottom) of a picture of `width` x `height` with
    the bucket's aspect."""
    w = min(width, max(1, round(height * bucket[0] / bucket[1])))
    h = min(height, max(1, round(width * bucket[1] / bucket[0])))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def fit(pixels: np.ndarray, bucket: tuple[int, int]) -> np.ndarray:
    """Crop and resize uint8 H x W x 3 `pixels` to exactly the bucket (width, height)."""
    box = crop_box(pixels.shape[1], pixels.shape[0], bucket)
    # resize(box=...) would let what was cut off shine in at the edges
    picture = Image.fromarray(pixels).crop(box)
    return np.array(picture.resize(bucket, Image.Resampling.LANCZOS, reducing_gap=3.0))
