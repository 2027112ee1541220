"""Fluxbooth: fine-tune a FLUX image model on photos of a subject, and make pictures of it.

    import fluxbooth
    result = fluxbooth.train("photos", fluxbooth.TrainSpec(class_name="man"), "ohwx-man")
    pictures = fluxbooth.generate(["ohwx man at the beach"], fluxbooth.GenerateSpec(loras=(str(result.lora),)))

Names load on first use, so that importing the package costs nothing. Import it before torch, so that torch's threads give way to other
programs (`cores.py`).
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fluxbooth import cores

if TYPE_CHECKING:
    from fluxbooth.client import ApiError, Client
    from fluxbooth.errors import FluxboothError, InputError
    from fluxbooth.generate import Picture, generate
    from fluxbooth.specs import GenerateSpec, TrainSpec
    from fluxbooth.train import TrainResult, train

__version__ = "0.1.0"
__all__ = [
    "ApiError",
    "Client",
    "FluxboothError",
    "GenerateSpec",
    "InputError",
    "Picture",
    "TrainResult",
    "TrainSpec",
    "generate",
    "train",
]

_HOMES = {
    "ApiError": "client", "Client": "client",
    "FluxboothError": "errors", "InputError": "errors", "Picture": "generate", "generate": "generate",
    "GenerateSpec": "specs", "TrainSpec": "specs", "TrainResult": "train", "train": "train",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fluxbooth' has no attribute {name!r}")
    return getattr(importlib.import_module(f"fluxbooth.{_HOMES[name]}"), name)


class _Package(ModuleType):
    """Keeps `fluxbooth.train` and `fluxbooth.generate` the functions after the modules of the same name are imported."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOMES and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
cores.wait_asleep()
