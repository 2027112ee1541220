"""Whether two photographs show the same person, by dlib's 128 numbers of a face (extra `faces`,
whose models are part of its packages: nothing is fetched).

dlib's makers call two faces the same person where these numbers are closer than SAME; they say
nothing of how likely that is, nor does anything here.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fluxbooth.photos import faces
from fluxbooth.photos.decoder import within

SAME = 0.6  # distance, of dlib's own documentation
MODELS = "face_recognition_models"
AREA = 1024 * 1024  # pixels, which photographs are reduced to


def available() -> bool:
    return faces.available() and importlib.util.find_spec(MODELS) is not None


def of(picture: Image.Image) -> np.ndarray:
    """Faces x 128, the largest first; none if no face looks about into the camera."""
    import dlib  # pyright: ignore[reportMissingImports]

    picture = picture.convert("RGB")
    size = within(*picture.size, AREA)
    pixels = np.ascontiguousarray(picture.resize(size, Image.Resampling.LANCZOS))
    width, height = size
    boxes = [
        dlib.rectangle(  # pyright: ignore[reportAttributeAccessIssue]
            *(
                round(share * side)
                for share, side in zip(
                    (face.left, face.top, face.right, face.bottom),
                    (width, height, width, height),
                    strict=True,
                )
            )
        )
        for face in faces.find(pixels)
    ]
    place, network, alone = _networks()
    with alone:
        found = [network.compute_face_descriptor(pixels, place(pixels, box)) for box in boxes]
    return np.array([list(numbers) for numbers in found]).reshape(-1, 128)


@functools.cache
def _networks() -> tuple[Any, Any, threading.Lock]:
    import dlib  # pyright: ignore[reportMissingImports]

    library: Any = dlib
    spec = importlib.util.find_spec(MODELS)
    assert spec and spec.origin
    folder = Path(spec.origin).parent / "models"
    return (
        # of five points: what the one of 68 was trained on may not be used commercially
        library.shape_predictor(str(folder / "shape_predictor_5_face_landmarks.dat")),
        library.face_recognition_model_v1(
            str(folder / "dlib_face_recognition_resnet_model_v1.dat")
        ),
        threading.Lock(),
    )
