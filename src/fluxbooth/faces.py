"""Faces on a photo, found by dlib (extra `faces`) on a CPU in a tenth of a second. Its detector is part of the library: nothing is fetched.

It sees faces that look about straight into the camera, on drawings often too; a profile or the back of a head it does not see.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from fluxbooth.decode import within

AREA = 512 * 512  # pixels, which photos are reduced to
SMALLEST = 40  # pixels at that area: the detector's own window is 80, and the photo is enlarged once
SURE = 0.25  # of dlib's score: faces had 0.3 to 1.6, drawn ones less than photographed ones, and what was none stayed below 0.15


@dataclass(frozen=True)
class Face:
    """Brows to chin, as fractions of the photo's width and height."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top


def available() -> bool:
    return importlib.util.find_spec("dlib") is not None


def find(pixels: np.ndarray) -> list[Face]:
    """The faces on uint8 H x W x 3 `pixels`, largest first; those below SMALLEST pixels at AREA are not seen. Needs `available`."""
    picture = Image.fromarray(pixels)
    width, height = within(picture.width, picture.height, AREA)
    reduced = np.ascontiguousarray(picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0))
    detector, alone = _detector()
    with alone:
        boxes, _, _ = detector.run(reduced, 1, SURE)
    found = [Face(box.left() / width, box.top() / height, box.right() / width, box.bottom() / height) for box in boxes]
    return sorted(found, key=lambda face: -face.height)


@functools.cache
def _detector() -> tuple[Any, threading.Lock]:
    """Loaded once, which takes a second. It keeps the photo in itself, so threads take turns."""
    import dlib  # pyright: ignore[reportMissingImports]

    return dlib.get_frontal_face_detector(), threading.Lock()  # pyright: ignore[reportAttributeAccessIssue]
