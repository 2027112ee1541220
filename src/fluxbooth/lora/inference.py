"""LoRAs beside a base that stays in memory: read once, kept in main memory, put on and taken off
without touching the base.

Each Linear that a LoRA adapts gets a hook that adds B A x to what the Linear gives; LoRAs applied
together are one branch of the sum of their ranks. So a change of LoRA costs nothing but references
(on a GPU, a copy of the LoRA to it), whatever its rank and layers. What is more than B A x (DoRA,
LoHa, LoKr) adds what it makes of the layer in the same hook.
"""

from __future__ import annotations

import contextlib
import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fluxbooth.lora import file as lora_file
from fluxbooth.lora import layers as lora_layers
from fluxbooth.lora import training as lora_training
from fluxbooth.lora.file import LoraFile
from fluxbooth.lora.layers import Layer, LowRank
from fluxbooth.models.family import Conditioning, Family, moved
from fluxbooth.models.frozen_linear import weight_of

MOST_BYTES = 2 * 2**30  # of LoRAs in main memory: twelve of rank 16 for FLUX.1
MOST_TEXTS = 64  # each 4 MB for FLUX.1
PAGE = 4096  # bytes
DTYPES = {
    "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
# base; path, time and size of a file, so that one that was replaced is read again
Key = tuple[str, str, int, int]


@dataclass(frozen=True)
class Adapter:
    """A LoRA in main memory."""

    file: LoraFile
    layers: dict[str, Layer]  # by diffusers' names
    sha256: str  # what other tools know the file by


class AdapterCache:
    """What lies beside a base that stays: the LoRAs that were used last, up to `most_bytes` of main
    memory (one of more than that stays until the next), and what the text encoders said of the last
    texts, also there.

    `mapped` applies files as the system's cache holds them, without a copy of their own: only for
    files that are never written again, though they may be replaced or removed.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, *, mapped: bool = False) -> None:
        self._most, self._mapped = most_bytes, mapped
        self._kept: OrderedDict[Key, Future[Adapter]] = OrderedDict()
        self._reader = ThreadPoolExecutor(1, "lora-reader")
        self._texts: OrderedDict[tuple[str, str], Conditioning] = OrderedDict()

    def expect(self, path: str | Path, family: Family) -> Future[Adapter]:
        """Starts to read a file that will be fetched, unless it is here.

        Raises InputError if it is no LoRA for the family's network.
        """
        path = Path(path)
        if not path.is_file():
            lora_training.check(path, family)  # says so
        told = path.stat()
        key = (family.row.name, str(path.resolve()), told.st_mtime_ns, told.st_size)
        if key not in self._kept:
            file = lora_training.check(path, family)
            self._kept[key] = self._reader.submit(_read, file, family.stored, self._mapped)
        self._kept.move_to_end(key)
        sizes = [size for *_, size in self._kept]
        while len(sizes) > 1 and sum(sizes) > self._most:
            self._kept.popitem(last=False)
            sizes.pop(0)
        return self._kept[key]

    def fetch(self, path: str | Path, family: Family) -> Adapter:
        """The LoRA of a file. Raises InputError as `expect` does."""
        return self.expect(path, family).result()

    def conditioning(self, text: str, family: Family) -> Conditioning:
        """Of a text, at the length that the base is at home at; encoded once."""
        key = (family.row.name, text)
        if key not in self._texts:
            told = family.encode_text([text], family.row.text_length)
            self._texts[key] = moved(told, torch.device("cpu"))
        self._texts.move_to_end(key)
        while len(self._texts) > MOST_TEXTS:
            self._texts.popitem(last=False)
        return moved(self._texts[key], family.device)


def _read(file: LoraFile, dtype: torch.dtype, mapped: bool) -> Adapter:
    """Where the file allows it, its tensors are views of one piece of memory, so that they cost
    one reading of it and no more."""
    kinds = set(file.dtypes.values())
    kind = DTYPES.get(min(kinds))
    # numbers of several sizes, or at odd places
    if kind is None or len(kinds) > 1 or file.begin % kind.itemsize:
        read = lora_layers.read(file)
        layers = {name: layer.to(torch.device("cpu"), dtype) for name, layer in read.items()}
        return Adapter(file, layers, file.sha256())
    lora_file.check_numbers(file)
    if mapped:
        whole = torch.from_file(
            str(file.path), shared=False, size=file.path.stat().st_size, dtype=torch.uint8
        )
        whole[::PAGE].sum()  # so that its first use waits for no disk
    else:
        whole = torch.from_numpy(np.fromfile(file.path, np.uint8))
    parts = (
        whole[file.begin :]
        .view(kind)
        .to(dtype)
        .split([math.prod(shape) for shape in file.shapes.values()])
    )
    tensors = {
        name: part.view(shape)
        for part, (name, shape) in zip(parts, file.shapes.items(), strict=True)
    }
    return Adapter(file, lora_layers.made(file, tensors), file.sha256())


class Branches:
    """What LoRAs, each times its weight, add to a network's layers. Their tensors come to where it
    computes when they are first used there, and stay for as long as this is kept: for all pictures
    of a request. Not for training."""

    def __init__(self, family: Family, loras: Sequence[tuple[Adapter, float]]) -> None:
        found: dict[str, list[tuple[Layer, float]]] = {}
        for adapter, weight in loras:
            for name, layer in adapter.layers.items():
                found.setdefault(name, []).append((layer, weight))
        self._network = family.network
        self._of = {name: _Branch(changes) for name, changes in found.items()}

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the network has them; afterwards it is the plain base again."""
        hooks = []
        if self._of:
            layers = dict(self._network.named_modules())
            hooks = [
                layers[name].register_forward_hook(branch) for name, branch in self._of.items()
            ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@contextlib.contextmanager
def apply_loras(family: Family, loras: Sequence[tuple[Adapter, float]]) -> Iterator[None]:
    """Inside, the network has these LoRAs, each times its weight."""
    with Branches(family, loras).applied():
        yield


class _Branch:
    """Adds what LoRAs make of a Linear to what it gives: B A x for all plain ones together, and
    what each other one adds."""

    def __init__(self, changes: Sequence[tuple[Layer, float]]) -> None:
        plain = [
            (low.down, low.up if weight == 1 else weight * low.up)
            for layer, weight in changes
            if (low := layer.plain)
        ]
        self.low = LowRank(*plain[0]) if len(plain) == 1 else None
        if len(plain) > 1:
            self.low = LowRank(
                torch.cat([a for a, _ in plain]), torch.cat([b for _, b in plain], 1)
            )
        self.others = [_Other(layer, weight) for layer, weight in changes if not layer.plain]

    def __call__(self, linear: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0].to(output.dtype)
        added = [other(linear, x, output) for other in self.others]  # each to the plain base
        if self.low is not None:
            if self.low.up.device != output.device or self.low.up.dtype != output.dtype:
                self.low = self.low.to(output.device, output.dtype)
            # a view, not a reshape: a copy would silently lose what is added to it
            output.view(-1, len(self.low.up)).addmm_(
                functional.linear(x, self.low.down).flatten(0, -2), self.low.up.T
            )
        for change in added:
            output += change
        return output


class _Other:
    """What a LoRA adds to W x + bias that is more than B A x: its own bias, a D that is no product
    B A, or a DoRA's lengths,

        s (W + D) x - W x    or    (W + D) (s x) - W x,    s = magnitude / length,

    of each row or of each column of W + D. D is first multiplied by the LoRA's weight.
    """

    def __init__(self, layer: Layer, weight: float) -> None:
        self.layer, self.weight, self.scale = layer, weight, None

    def __call__(self, linear: nn.Linear, x: Tensor, output: Tensor) -> Tensor:
        self.layer = self.layer.to(output.device, output.dtype)
        change, magnitude = self.layer.change, self.layer.magnitude
        if magnitude is None:
            added = self.weight * change.times(x)
        else:
            if self.scale is None:
                self.scale = self._scale(linear, output, magnitude).to(output.dtype)
            if magnitude.ndim == 1:
                plain = output if linear.bias is None else output - linear.bias.to(output.dtype)
                added = (self.scale - 1) * plain + self.scale * self.weight * change.times(x)
            else:
                added = functional.linear(
                    (self.scale - 1) * x, weight_of(linear, x)
                ) + self.weight * change.times(self.scale * x)
        return added if self.layer.bias is None else added + self.weight * self.layer.bias

    def _scale(self, linear: nn.Linear, output: Tensor, magnitude: Tensor) -> Tensor:
        whole = weight_of(linear, output).float() + self.weight * self.layer.change.matrix().float()
        lengths = whole.norm(dim=1) if magnitude.ndim == 1 else whole.norm(dim=0, keepdim=True)
        return magnitude.float() / lengths
