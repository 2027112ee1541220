"""Loading of a base from a diffusers folder, weight by weight: each cast or quantised, and put
where it will be, as it arrives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import init_empty_weights
from accelerate.utils import set_module_tensor_to_device
from safetensors import safe_open
from torch import Tensor, nn

from fluxbooth.memory.estimate import Choice
from fluxbooth.models import frozen_linear

# of diffusers' networks, in the order in which they work
BLOCKS = ("transformer_blocks.", "single_transformer_blocks.")


def empty(kind: type[Any], folder: Path) -> Any:
    """The network of a diffusers folder, of one of diffusers' classes, without its weights."""
    config = kind.load_config(folder, local_files_only=True)
    with init_empty_weights():
        network = kind.from_config(config)
    assert isinstance(network, kind)
    return network.eval()


def weights(folder: Path) -> Iterator[tuple[str, Tensor]]:
    """The weights in a folder's safetensors files one by one, mapped to the files."""
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)


class WeightPlacer:
    """Puts each weight of an empty network into its place; called with its name and value.

    The weights of `layers` are quantised or stored as the choice says, and brought to main memory
    if they are of its first blocks, where `offload` puts them in order; all others are cast to
    `dtype`.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[str],
        choice: Choice,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.network = network
        self.layers = set(layers)
        self.choice = choice
        self.dtype = dtype
        self.device = device
        self.waiting = set(_blocks(layers)[: choice.offloaded])

    def __call__(self, name: str, value: Tensor) -> None:
        layer, _, kind = name.rpartition(".")
        waits = _block(name) in self.waiting
        if kind != "weight" or layer not in self.layers or not (self.choice.cast_at_use or waits):
            set_module_tensor_to_device(self.network, name, self.device, value, dtype=self.dtype)
            return
        linear = self.network.get_submodule(layer)
        assert isinstance(linear, nn.Linear)
        if self.choice.quantisation == "none":
            weight = nn.Parameter(
                value.to(self.device, getattr(torch, self.choice.kept)), requires_grad=False
            )
        else:
            weight = frozen_linear.quantised(
                value.to(self.device, self.dtype), self.choice.quantisation
            )
        linear.weight = frozen_linear.in_main_memory(weight) if waits else weight
        self.network.set_submodule(layer, frozen_linear.FrozenLinear(linear, self.dtype))


def offload(network: nn.Module, layers: Sequence[str], count: int, dtype: torch.dtype) -> None:
    """Has the weights of those `layers` that are in the first `count` blocks wait in main memory,
    a block's in one piece of it."""
    for block in _blocks(layers)[:count]:
        linears = list[frozen_linear.FrozenLinear]()
        for name in layers:
            if _block(name) != block:
                continue
            linear = network.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            if not isinstance(linear, frozen_linear.FrozenLinear):
                linear = frozen_linear.FrozenLinear(linear, dtype)
                network.set_submodule(name, linear)
            linears.append(linear)
        weights = frozen_linear.waiting([cast(nn.Parameter, linear.weight) for linear in linears])
        for linear, weight in zip(linears, weights, strict=True):
            linear.weight = weight


def _block(name: str) -> str:
    """Of a layer or weight in it."""
    return ".".join(name.split(".")[:2])


def _blocks(layers: Sequence[str]) -> list[str]:
    """In the order in which they work."""
    return sorted(dict.fromkeys(map(_block, layers)), key=_place)


def _place(block: str) -> tuple[int, int]:
    """When a block (`single_transformer_blocks.7`) has its turn."""
    folder, number = block.split(".")
    return BLOCKS.index(f"{folder}."), int(number)
