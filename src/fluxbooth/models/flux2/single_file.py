"""The original single files (`flux-2-klein-4b.safetensors`, `flux2-vae.safetensors`, ComfyUI's fp8
and all-in-one ones) as diffusers' models.

Nothing is fetched: the architecture follows from the shapes in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKLFlux2, Flux2Transformer2DModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import Tensor

from fluxbooth.models import weight_reader
from fluxbooth.models.flux2 import files
from fluxbooth.models.flux2.layer_names import LAYERS
from fluxbooth.models.flux2.size import autoencoder_config, network_config

# the original's, whose parts of diffusers' autoencoder lie elsewhere
MOVED = {"encoder.quant_conv.": "quant_conv.", "decoder.post_quant_conv.": "post_quant_conv."}
BATCH_NORM = "bn."
COUNTED = "bn.num_batches_tracked"  # of how many pictures, which nothing here asks


def transformer(path: str | Path, dtype: torch.dtype) -> Flux2Transformer2DModel:
    """The network from a file in the original layout, in `dtype`.

    Raises InputError, naming the file, if it is another kind.
    """
    network = empty(path)
    place = weight_reader.cast_into(network, dtype)
    weight_reader.fill(network, weights(path), path, place, files.MODEL)
    return network


def empty(path: str | Path) -> Flux2Transformer2DModel:
    """The network of a file in the original layout, without its weights."""
    config = network_config(path, files.network_shapes(Path(path)))
    with init_empty_weights():
        return Flux2Transformer2DModel(**config)


def weights(path: str | Path) -> Iterator[tuple[str, Tensor]]:
    """The weights in such a file one by one, by diffusers' names."""
    return weight_reader.original(path, LAYERS)


def autoencoder(path: str | Path, dtype: torch.dtype) -> AutoencoderKLFlux2:
    """The autoencoder from a file by the original's names or diffusers', or from an all-in-one
    file, in `dtype`.

    Raises InputError, naming the file, for another kind.
    """
    with weight_reader.opened(path, files.VAE.prefix) as file:
        config = autoencoder_config(path, file.shapes)
        found = {name: file.weight(name) for name in file.weights() if name != COUNTED}
    if "encoder.down.0.block.0.conv1.weight" in found:
        found = _by_diffusers_names(found, config)
    with init_empty_weights():
        made = AutoencoderKLFlux2(**config)
    place = weight_reader.cast_into(made, dtype)
    weight_reader.fill(made, found.items(), path, place, "FLUX.2's autoencoder", tied=(COUNTED,))
    return made


def _by_diffusers_names(found: dict[str, Tensor], config: dict[str, Any]) -> dict[str, Tensor]:
    named = dict(found)
    for theirs, ours in MOVED.items():
        named |= {name.replace(theirs, ours): named.pop(name) for name in found if theirs in name}
    statistics = {name: value for name, value in found.items() if name.startswith(BATCH_NORM)}
    return convert_ldm_vae_checkpoint(named, config) | statistics
