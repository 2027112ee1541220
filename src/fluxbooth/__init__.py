"""Fluxbooth: fine-tune a FLUX image model on photos of a subject, and make pictures of it.

import fluxbooth
result = fluxbooth.train("photos", fluxbooth.TrainSpec(class_name="man"), "ohwx-man")
spec = fluxbooth.GenerateSpec(loras=(str(result.lora),))
pictures = fluxbooth.generate("ohwx man at the beach", spec)
larger = fluxbooth.enhance("photo.jpg", fluxbooth.GenerateSpec(super_resolution=True))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fluxbooth.version import __version__

if TYPE_CHECKING:
    from fluxbooth.client.client import ApiError, Client
    from fluxbooth.errors import FluxboothError, InputError
    from fluxbooth.generation.generate import enhance, generate
    from fluxbooth.generation.picture import Picture
    from fluxbooth.specs import GenerateSpec, TrainSpec
    from fluxbooth.training.loop import TrainResult, train

__all__ = [
    "ApiError",
    "Client",
    "FluxboothError",
    "GenerateSpec",
    "InputError",
    "Picture",
    "TrainResult",
    "TrainSpec",
    "__version__",
    "enhance",
    "generate",
    "train",
]

_HOMES = {
    "ApiError": "client.client", "Client": "client.client", "FluxboothError": "errors",
    "InputError": "errors", "Picture": "generation.picture", "generate": "generation.generate",
    "enhance": "generation.generate",
    "GenerateSpec": "specs", "TrainSpec": "specs", "TrainResult": "training.loop",
    "train": "training.loop",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fluxbooth' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fluxbooth.{_HOMES[name]}"), name)
