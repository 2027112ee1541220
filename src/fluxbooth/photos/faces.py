"""Faces on a photo, found by dlib (extra `faces`) on a CPU in a tenth of a second. Its detector is
part of the library: nothing is fetched.

It sees faces that look about straight into the camera, on drawings often too; a profile or the back
of a head it does not see.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from fluxbooth.errors import InputError
from fluxbooth.photos.decoder import within
from fluxbooth.photos.face import Face
from fluxbooth.photos.inspection import Photo

AREA = 512 * 512  # pixels, which photos are reduced to
# pixels at that area: the detector's own window is 80, and the photo is enlarged once
SMALLEST = 40
# sides of a close-up in heights of its face (brows to chin): hair, ears and neck are in it
AROUND = 2.2
NEW = 0.6  # of a photo's area: a close-up that takes more shows little that is new
# of dlib's score: faces had 0.3 to 1.6, drawn ones less than photographed ones, and what was none
# stayed below 0.15
SURE = 0.25
TURNED = (1, 2)  # of the five detectors in one that dlib has: to the left, to the right


def available() -> bool:
    return importlib.util.find_spec("dlib") is not None


def find(pixels: np.ndarray) -> list[Face]:
    """The faces on uint8 H x W x 3 `pixels`, largest first; those below SMALLEST pixels at AREA
    are not seen. Needs `available`."""
    picture = Image.fromarray(pixels)
    width, height = within(picture.width, picture.height, AREA)
    reduced = np.ascontiguousarray(
        picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    )
    detector, alone = _detector()
    with alone:
        boxes, _, directions = detector.run(reduced, 1, SURE)
    found = [
        Face(
            box.left() / width,
            box.top() / height,
            box.right() / width,
            box.bottom() / height,
            direction in TURNED,
        )
        for box, direction in zip(boxes, directions, strict=True)
    ]
    return sorted(found, key=lambda face: -face.height)


def close_ups(photos: Sequence[Photo], least: int) -> list[Photo]:
    """A square around the largest face of each photo that is at least `least` pixels wide and not
    nearly the whole of it.

    Their captions are left out, for they tell of the whole. InputError: the extra is not installed.
    """
    if not available():
        raise InputError(
            "Close-ups of faces need a package that is not here (dlib): pip install "
            "'fluxbooth[faces]', or leave face_crop out."
        )
    found = [(photo, face) for photo in photos for face in find(photo.pixels)[:1]]
    return [
        crop
        for photo, face in found
        if (crop := _close_up(photo, face)) is not None and crop.width >= least
    ]


def _close_up(photo: Photo, face: Face) -> Photo | None:
    height, width = photo.pixels.shape[:2]
    side = min(width, height, round(AROUND * face.height * height))
    if side * side > NEW * width * height:
        return None
    # more hair than neck
    x, y = (
        ((face.left + face.right) * width - side) / 2,
        ((face.top + face.bottom) * height - side) / 2 - 0.1 * side,
    )
    left, top = (round(max(0, min(at, most - side))) for at, most in ((x, width), (y, height)))
    return Photo(photo.path, photo.pixels[top : top + side, left : left + side], side, side, None)


@functools.cache
def _detector() -> tuple[Any, threading.Lock]:
    """Loaded once, which takes a second. It keeps the photo in itself, so threads take turns."""
    import dlib  # pyright: ignore[reportMissingImports]

    detector = dlib.get_frontal_face_detector()  # pyright: ignore[reportAttributeAccessIssue]
    return detector, threading.Lock()
