"""What a training or a drawing of FLUX.1-dev allocates on a card, recorded from the very code at
its full size, on tensors that have sizes but no memory behind them.

How a base is kept is told here in words of its own: nothing of `fluxbooth.memory` is used, for
what is recorded judges it.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fluxbooth.lora import training as lora_training
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.models.frozen_linear import FrozenLinear
from fluxbooth.models.registry import BASES
from fluxbooth.training import flow
from tests.support.card import Event
from tests.support.meter import without_memory

TEXT, CHANNELS, TEXT_WIDTH, POOLED = 512, 64, 4096, 768
DOUBLE, SINGLE = 19, 38
ENCODERS = (4_762_310_656, 123_060_480)  # parameters of T5 and CLIP


@dataclass(frozen=True)
class Kept:
    """How the base is kept; numbers of blocks from the first on."""

    quantisation: str = "none"
    checkpointed: int = 0
    offloaded: int = 0
    encoders: str = "leave"
    dtype: str = "bfloat16"
    kept: str = "bfloat16"

    @property
    def cast_at_use(self) -> bool:
        return self.quantisation != "none"


class Recorder(TorchDispatchMode):
    """While it is entered, `events` gets what comes and what goes."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self._numbers: dict[int, int] = {}
        self._count = 0

    def ignore(self, tensors: Iterable[Tensor]) -> None:
        """What is there all the time."""
        for tensor in tensors:
            self._numbers[tensor.untyped_storage()._cdata] = -1

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._saw(leaf)
        return result

    def _saw(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._numbers or not storage.nbytes():
            return
        self._count += 1
        self._numbers[key] = self._count
        self.events.append((self._count, storage.nbytes()))
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.events.append((self._numbers.pop(key), 0))


def closed(events: Iterable[Event]) -> list[Event]:
    """With what is still there at the end gone, too."""
    found = list(events)
    there: dict[int, int] = {}
    for number, size in found:
        if size:
            there[number] = size
        else:
            there.pop(number)
    return found + [(number, 0) for number in there]


class _MadeAtUse(FrozenLinear):
    """A layer whose matrix is made for each product: out of codes, in so many steps; `travels`
    bytes come from main memory before."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, steps: int, travels: int) -> None:
        super().__init__(linear, dtype)
        self.steps, self.travels = steps, travels

    def matrix(self, device: torch.device) -> Tensor:
        codes = torch.empty(self.travels, dtype=torch.uint8) if self.travels else None
        made = torch.empty(self.out_features, self.in_features, dtype=self.dtype)
        made = made * 1 if self.steps == 2 else made
        del codes
        return made


def _network() -> FluxTransformer2DModel:
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            return FluxTransformer2DModel(
                in_channels=CHANNELS,
                num_layers=DOUBLE,
                num_single_layers=SINGLE,
                attention_head_dim=128,
                num_attention_heads=24,
                joint_attention_dim=TEXT_WIDTH,
                pooled_projection_dim=POOLED,
                guidance_embeds=True,
                axes_dims_rope=(16, 56, 56),
            )
    finally:
        torch.set_default_dtype(torch.float32)


def _family(kept: Kept) -> Flux1:
    made = object.__new__(Flux1)
    made.row, made.network = BASES["flux-dev"], _network()
    made.dtype = made.stored = torch.bfloat16
    made.choice = kept  # pyright: ignore[reportAttributeAccessIssue]
    made.device = torch.device("meta")
    away = {id(block) for block in made._blocks[: kept.offloaded]}
    for block in made._blocks:
        waits = id(block) in away
        if not (waits or kept.cast_at_use):
            continue
        for name, layer in list(block.named_modules()):
            if isinstance(layer, nn.Linear):
                steps = 2 if kept.quantisation in ("int8", "fp8") else 1
                travels = codes(layer.weight.numel(), kept) if waits and kept.cast_at_use else 0
                block.set_submodule(name, _MadeAtUse(layer, torch.bfloat16, steps, travels))
    return made


def codes(numbers: int, kept: Kept) -> int:
    """Bytes of a layer's weights as they are kept."""
    each = {"int8": 1, "fp8": 1, "nf4": 0.5 + 1 / 64}.get(kept.quantisation, 2)
    return int(numbers * each)


@functools.cache
def base(kept: Kept) -> list[Event]:
    """The network as it arrives: each weight in bfloat16, then as it is kept, and for what waits
    nothing stays."""
    events, network, number = list[Event](), _network(), 0
    blocks = [*network.transformer_blocks, *network.single_transformer_blocks]
    place = {id(module): i for i, block in enumerate(blocks) for module in block.modules()}
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is None:
                continue
            number += 1
            size = parameter.numel() * 2
            layer = isinstance(module, nn.Linear) and name == "weight" and id(module) in place
            waits = layer and place[id(module)] < kept.offloaded
            if layer and (waits or kept.cast_at_use):
                events.append((-number, size))
                if not waits:
                    events.append((number, codes(parameter.numel(), kept)))
                events.append((-number, 0))
            else:
                events.append((number, size))
    return events


def encoders() -> list[Event]:
    """T5 and CLIP come onto the card: layers of 100 to 400 MB and less."""
    each = 64 * 2**20
    whole = sum(ENCODERS) * 2
    return [(i, min(each, whole - i * each)) for i in range(-(-whole // each))]


def adapter(rank: int = 16) -> list[Event]:
    """A LoRA in float32, and after its first step what AdamW keeps of it."""
    sizes = list[int]()
    for double in [True] * DOUBLE + [False] * SINGLE:
        for inputs, outputs in _layers(3072, double):
            sizes += [4 * rank * inputs, 4 * rank * outputs]
    return [(number, size) for number, size in enumerate(sizes * 3)]


def _layers(d: int, double: bool) -> list[tuple[int, int]]:
    """Inputs and outputs of a block's layers."""
    if double:
        return [(d, d)] * 8 + [(d, 4 * d), (4 * d, d)] * 2 + [(d, 6 * d)] * 2
    return [(d, d)] * 3 + [(d, 4 * d), (5 * d, d), (d, 3 * d)]


@functools.cache
def step(side: int, kept: Kept, rank: int = 16, batch: int = 1) -> list[Event]:
    """A training step: forward, backward, gradients gone."""
    family = _family(kept)
    lora_training.add(family, rank, 0)
    kept_before = family.choice
    family.checkpoint_gradients(kept.checkpointed)
    assert kept_before.checkpointed == kept.checkpointed
    return _recorded(family, side, batch, lambda velocity, z: _backward(family, velocity, z))


@functools.cache
def drawing(side: int, kept: Kept) -> list[Event]:
    """A step of a picture; its decoding is `decoding`."""
    return _recorded(_family(kept), side, 1, None)


def _backward(family: Flux1, velocity: Callable[[], Tensor], z: Tensor) -> None:
    flow.velocity_loss(velocity(), z, z).backward()
    for parameter in family.network.parameters():
        parameter.grad = None


def _recorded(
    family: Flux1,
    side: int,
    batch: int,
    learn: Callable[[Callable[[], Tensor], Tensor], None] | None,
) -> list[Event]:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    without_memory(family.network, mode)
    family.device = torch.device("cpu")
    with mode, Recorder() as recorder:
        recorder.ignore(family.network.parameters())
        z = torch.zeros(batch, (side // 16) ** 2, CHANNELS, dtype=torch.bfloat16)
        told = {
            "states": torch.zeros(batch, TEXT, TEXT_WIDTH, dtype=torch.bfloat16),
            "pooled": torch.zeros(batch, POOLED, dtype=torch.bfloat16),
        }
        sigma = torch.full((batch,), 0.5)

        def velocity() -> Tensor:
            return family.velocity(z, sigma, told, 1.0, (side, side))

        if learn is None:
            with torch.no_grad():
                velocity()
        else:
            learn(velocity, z)
    return closed(recorder.events)


def _autoencoder(dtype: torch.dtype) -> AutoencoderKL:
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            return AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                block_out_channels=(128, 256, 512, 512),
                layers_per_block=2,
                latent_channels=16,
                use_quant_conv=False,
                use_post_quant_conv=False,
            )
    finally:
        torch.set_default_dtype(torch.float32)


@functools.cache
def autoencoder() -> list[Event]:
    made = _autoencoder(torch.bfloat16)
    return [(i, p.numel() * 2) for i, p in enumerate(made.parameters())]


@functools.cache
def encoding(side: int) -> list[Event]:
    """A photo, in float32, with the autoencoder's weights in that for as long."""
    made = _autoencoder(torch.float32)
    weights = [(-1 - i, p.numel() * 4) for i, p in enumerate(made.parameters())]
    found = _pixels(made, lambda: made.encode(torch.zeros(1, 3, side, side)))
    return closed([*weights, *found])


@functools.cache
def decoding(side: int) -> list[Event]:
    made = _autoencoder(torch.bfloat16)
    latents = functools.partial(torch.zeros, 1, 16, side // 8, side // 8, dtype=torch.bfloat16)
    return _pixels(made, lambda: made.decode(latents()))


def _pixels(network: nn.Module, work: Callable[[], Any]) -> list[Event]:
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    without_memory(network, mode)
    with mode, torch.no_grad(), Recorder() as recorder:
        recorder.ignore(network.parameters())
        work()
    return closed(recorder.events)
