"""Weights out of safetensors files one by one, and into an empty network: of diffusers' folders, of
the original single files, of ComfyUI's fp8 and all-in-one ones.

There are never two copies of a base in memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_module_tensor_to_device
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fluxbooth.errors import InputError
from fluxbooth.models.comfyui import ALL_IN_ONE
from fluxbooth.models.layer_names import SHIFT_FIRST, LayerNames
from fluxbooth.models.weight_files import QUANTISER_KEYS

Put = Callable[[str, Tensor], None]  # gives a weight, by its name, its place in a network


def cast_into(network: nn.Module, dtype: torch.dtype) -> Put:
    """Puts a weight into its place in main memory."""
    return lambda name, value: set_module_tensor_to_device(network, name, "cpu", value, dtype=dtype)


def fill(
    network: nn.Module,
    weights: Iterable[tuple[str, Tensor]],
    path: str | Path,
    put: Put,
    model: str,
    tied: Sequence[str] = (),
) -> None:
    """Gives an empty network of a `model` its weights one by one, but for those tied to others.

    Raises InputError, naming the file, if some are missing or have no place.
    """
    missing = set(network.state_dict()) - set(tied)
    for name, value in weights:
        if name not in missing:
            raise InputError(
                f"{path} holds {name}, which {model} does not have: use a file of {model}."
            )
        put(name, value)
        missing.remove(name)
    if missing:
        raise InputError(
            f"{path} lacks {len(missing)} weights of {model}, such as {min(missing)}: "
            "download it again."
        )
    network.eval().requires_grad_(False)


class Weights:
    """The weights of one model in an open file, by their names without the model's prefix."""

    def __init__(self, path: str | Path, file: Any, prefix: str) -> None:
        names = list(file.keys())
        within = [name for name in names if name.startswith(prefix)]
        self.prefixed = bool(within)
        within = within or names
        self.path = path
        self._file = file
        self._stored = {name.removeprefix(prefix): name for name in within}
        self.shapes = {
            name: tuple(file.get_slice(full).get_shape()) for name, full in self._stored.items()
        }

    def weights(self) -> list[str]:
        return [name for name in self._stored if not name.endswith(QUANTISER_KEYS)]

    def weight(self, name: str) -> Tensor:
        """In a number format that can be cast; ComfyUI's scaled fp8 files keep a factor beside
        each weight."""
        value, layer = self._file.get_tensor(self._stored[name]), name.removesuffix(".weight")
        keys = [
            key for key in (f"{layer}.scale_weight", f"{layer}.weight_scale") if key in self._stored
        ]
        factors = [self._file.get_tensor(self._stored[key]).float() for key in keys]
        if not value.is_floating_point() or any(factor.numel() != 1 for factor in factors):
            raise InputError(
                f"{self.path} is quantised to something else than fp8 ({name}): use the bf16 "
                "or the fp8 file of the model."
            )
        return value.float() * factors[0].item() if factors else value


@contextlib.contextmanager
def opened(path: str | Path, prefix: str) -> Iterator[Weights]:
    """A safetensors file's weights under `prefix`, or all if none are.

    Raises InputError, naming the file, if it is none.
    """
    try:
        file: Any = safe_open(path, "pt")
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} cannot be read as a safetensors file ({error}): check the path or "
            "download it again."
        ) from error
    with file:
        yield Weights(path, file, prefix)


def original(path: str | Path, names: LayerNames) -> Iterator[tuple[str, Tensor]]:
    """The weights of a network in the original layout one by one, by diffusers' names."""
    with opened(path, ALL_IN_ONE) as file:
        for name in file.weights():
            yield from _parts(name, file.weight(name), names)


def _parts(name: str, value: Tensor, names: LayerNames) -> Iterator[tuple[str, Tensor]]:
    """diffusers' parameters that one of the original's is split into."""
    norm = names.norm_of(name)
    if norm is not None:
        yield norm, value
        return
    layer, _, kind = name.rpartition(".")
    parts = names.parts_of(layer) or (layer,)
    if parts[0] == SHIFT_FIRST:
        value = torch.cat(value.chunk(2)[::-1])
    shares = [int(names.ratio_of(part) or 1) for part in parts] if len(parts) > 1 else [1]
    rows = value.split([len(value) * share // sum(shares) for share in shares])
    for part, row in zip(parts, rows, strict=True):
        yield f"{part}.{kind}", row
