"""FLUX.2 [klein] as a `models.description.Description`."""

from __future__ import annotations

from fluxbooth.models.base import Base
from fluxbooth.models.flux2 import size
from fluxbooth.models.flux2.bases import BASES, own
from fluxbooth.models.flux2.layer_names import LAYERS
from fluxbooth.models.flux2.layer_sizes import sizes

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
preload = ("fluxbooth.models.flux2.family",)
encoders_words = "Qwen3"
shape = size.of
layer_sizes = sizes
SIZES = {size.KLEIN_4B.width: "-4b", size.KLEIN_9B.width: "-9b"}


def lora_metadata(row: Base) -> dict[str, str]:
    # by the names of kohya's musubi-tuner; ModelSpec has none yet
    kind = "klein" + SIZES.get(size.of(row.train_source).width, "")
    return {
        "ss_base_model_version": f"flux_2_{kind.replace('-', '_')}",
        "ss_network_module": "networks.lora_flux_2",
        "modelspec.architecture": f"Flux.2-{kind}/lora",
    }
