"""The original single files (`flux1-dev.safetensors`, `ae.safetensors`, ComfyUI's fp8 and
all-in-one ones) as diffusers' models.

Nothing is fetched: the architecture follows from the shapes in the file.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import Tensor

from fluxbooth.models import weight_files, weight_reader
from fluxbooth.models.comfyui import ALL_IN_ONE
from fluxbooth.models.flux1 import files
from fluxbooth.models.flux1.layer_names import LAYERS
from fluxbooth.models.flux1.size import ROPE_AXES, autoencoder_config, network_config


def transformer(
    path: str | Path, dtype: torch.dtype, axes: Sequence[int] = ROPE_AXES
) -> FluxTransformer2DModel:
    """FLUX.1's network from a file in the original layout, in `dtype`.

    Raises InputError, naming the file, if it is another kind.
    """
    network = empty(path, axes)
    place = weight_reader.cast_into(network, dtype)
    weight_reader.fill(network, weights(path), path, place, files.MODEL)
    return network


def empty(path: str | Path, axes: Sequence[int] = ROPE_AXES) -> FluxTransformer2DModel:
    """The network of a file in the original layout, without its weights."""
    shapes = weight_files.under(weight_files.shapes(Path(path)), ALL_IN_ONE)
    config = network_config(path, shapes, axes)
    with init_empty_weights():
        return FluxTransformer2DModel(**config)


def weights(path: str | Path) -> Iterator[tuple[str, Tensor]]:
    """The weights in such a file one by one, by diffusers' names."""
    return weight_reader.original(path, LAYERS)


def autoencoder(path: str | Path, dtype: torch.dtype) -> AutoencoderKL:
    """The autoencoder from `ae.safetensors` or an all-in-one file, in `dtype`.

    Raises InputError, naming the file, for another kind.
    """
    with weight_reader.opened(path, "vae.") as file:
        config = autoencoder_config(path, file.shapes)
        weights: Any = {name: file.weight(name) for name in file.weights()}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        return AutoencoderKL.from_single_file(
            weights, config=folder, dtype=dtype, local_files_only=True
        )
