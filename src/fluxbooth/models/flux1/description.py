"""FLUX.1 as a `models.description.Description`."""

from __future__ import annotations

from fluxbooth.models.base import Base
from fluxbooth.models.flux1 import size
from fluxbooth.models.flux1.bases import BASES, own
from fluxbooth.models.flux1.layer_names import LAYERS
from fluxbooth.models.flux1.layer_sizes import sizes

__all__ = [
    "BASES",
    "encoders_words",
    "layer_sizes",
    "layers",
    "lora_metadata",
    "own",
    "preload",
    "shape",
]

layers = LAYERS
preload = ("fluxbooth.models.flux1.family",)
encoders_words = "T5 and CLIP"
shape = size.of
layer_sizes = sizes


def lora_metadata(row: Base) -> dict[str, str]:
    # by the names of kohya's sd-scripts and Stability's ModelSpec
    kind = "schnell" if row.guidance is None else "dev"
    return {
        "ss_base_model_version": "flux1",
        "ss_network_module": "networks.lora_flux",
        "modelspec.architecture": f"flux-1-{kind}/lora",
    }
