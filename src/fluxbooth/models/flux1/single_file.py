"""The original single files (`flux1-dev.safetensors`, `ae.safetensors`, ComfyUI's fp8 and
all-in-one ones) as diffusers' models.

Nothing is fetched: the architecture follows from the shapes in the file. Weights are cast one by
one as they are read, so that there are never two copies of the base in memory.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from accelerate.utils import set_module_tensor_to_device
from diffusers import AutoencoderKL, FluxTransformer2DModel
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from fluxbooth.errors import InputError
from fluxbooth.models import weight_files
from fluxbooth.models.flux1 import files
from fluxbooth.models.flux1.files import ALL_IN_ONE
from fluxbooth.models.flux1.layer_names import SHIFT_FIRST, heights, norm_of, parts_of
from fluxbooth.models.flux1.size import (
    QUANTISER_KEYS,
    ROPE_AXES,
    autoencoder_config,
    network_config,
)

Put = Callable[[str, Tensor], None]  # gives a weight, by its name, its place in a network


def transformer(
    path: str | Path, dtype: torch.dtype, axes: Sequence[int] = ROPE_AXES
) -> FluxTransformer2DModel:
    """FLUX.1's network from a file in the original layout, in `dtype`.

    Raises InputError, naming the file, if it is another kind.
    """
    network = empty(path, axes)
    fill(network, weights(path), path, cast_into(network, dtype))
    return network


def empty(path: str | Path, axes: Sequence[int] = ROPE_AXES) -> FluxTransformer2DModel:
    """The network of a file in the original layout, without its weights."""
    shapes = files.under(weight_files.shapes(Path(path)), ALL_IN_ONE)
    config = network_config(path, shapes, axes)
    with init_empty_weights():
        return FluxTransformer2DModel(**config)


def weights(path: str | Path) -> Iterator[tuple[str, Tensor]]:
    """The weights in such a file one by one, by diffusers' names."""
    with opened(path, ALL_IN_ONE) as file:
        for name in file.weights():
            yield from _parts(name, file.weight(name))


def cast_into(network: nn.Module, dtype: torch.dtype) -> Put:
    """Puts a weight into its place in main memory."""
    return lambda name, value: set_module_tensor_to_device(network, name, "cpu", value, dtype=dtype)


def fill(
    network: nn.Module,
    weights: Iterable[tuple[str, Tensor]],
    path: str | Path,
    put: Put,
    tied: Sequence[str] = (),
) -> None:
    """Gives an empty network its weights one by one, but for those tied to others.

    Raises InputError, naming the file, if some are missing or have no place.
    """
    missing = set(network.state_dict()) - set(tied)
    for name, value in weights:
        if name not in missing:
            raise InputError(
                f"{path} holds {name}, which FLUX.1 does not have: use a file of FLUX.1."
            )
        put(name, value)
        missing.remove(name)
    if missing:
        raise InputError(
            f"{path} lacks {len(missing)} weights of FLUX.1, such as {min(missing)}: "
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


def _parts(name: str, value: Tensor) -> Iterator[tuple[str, Tensor]]:
    """diffusers' parameters that one of the original's is split into."""
    norm = norm_of(name)
    if norm is not None:
        yield norm, value
        return
    layer, kind = name.rsplit(".", 1)
    parts = parts_of(layer.replace(".", "_")) or (layer,)
    if parts[0] == SHIFT_FIRST:
        value = torch.cat(value.chunk(2)[::-1])
    rows = (
        value.split(heights(len(parts), len(value) // sum(heights(len(parts), 1))))
        if len(parts) > 1
        else [value]
    )
    for part, row in zip(parts, rows, strict=True):
        yield f"{part}.{kind}", row


def autoencoder(path: str | Path, dtype: torch.dtype) -> AutoencoderKL:
    """The autoencoder from `ae.safetensors` or an all-in-one file, in `dtype`.

    Raises InputError, naming the file, for another kind.
    """
    with opened(path, "vae.") as file:
        config = autoencoder_config(path, file.shapes)
        weights: Any = {name: file.weight(name) for name in file.weights()}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        return AutoencoderKL.from_single_file(
            weights, config=folder, dtype=dtype, local_files_only=True
        )
