"""LoRAs beside a base that stays in memory: read once, kept in main memory, put on and taken off without touching the base.

Each Linear that a LoRA adapts gets a hook that adds B A x to what the Linear gives; LoRAs worn together are one branch of the sum of
their ranks. So a change of LoRA costs nothing but references (on a GPU, a copy of the LoRA to it), whatever its rank and layers.
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
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from fluxbooth import lora
from fluxbooth.lorafile import LoraFile
from fluxbooth.models.base import Conditioning, Family

MOST_BYTES = 2 * 2**30  # of LoRAs in main memory: twelve of rank 16 for FLUX.1
MOST_TEXTS = 64  # each 4 MB for FLUX.1
PAGE = 4096  # bytes
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
Key = tuple[str, str, int, int]  # base; path, time and size of a file, so that one that was replaced is read again


@dataclass(frozen=True)
class Adapter:
    """A LoRA in main memory."""

    file: LoraFile
    tensors: dict[str, Tensor]  # by their names in the file

    @property
    def swaps(self) -> bool:
        """Whether it is W x + B A x and no more; a DoRA also rescales W."""
        return not any(name.endswith("magnitude_vector") for name in self.tensors)

    def pairs(self) -> dict[str, tuple[Tensor, Tensor]]:
        """A (rank x in) and B (out x rank) of each layer."""
        ends = ".lora_A.weight", ".lora_B.weight"
        names = [name.removesuffix(ends[0]) for name in self.tensors if name.endswith(ends[0])]
        return {name.removeprefix(lora.PREFIX): (self.tensors[name + ends[0]], self.tensors[name + ends[1]]) for name in names}


class Shelf:
    """What lies beside a base that stays: the LoRAs that were used last, up to `most_bytes` of main memory (one of more than that stays
    until the next), and what the text encoders said of the last texts.

    `mapped` wears files as the system's cache holds them, without a copy of their own: only for files that are never written again,
    though they may be replaced or removed.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, *, mapped: bool = False) -> None:
        self._most, self._mapped = most_bytes, mapped
        self._kept: OrderedDict[Key, Future[Adapter]] = OrderedDict()
        self._reader = ThreadPoolExecutor(1, "lora-reader")
        self._texts: OrderedDict[tuple[str, str], Conditioning] = OrderedDict()

    def expect(self, path: str | Path, family: Family) -> Future[Adapter]:
        """Starts to read a file that will be fetched, unless it is here. Raises InputError if it is no LoRA for the family's network."""
        path = Path(path)
        if not path.is_file():
            lora.check(path, family)  # says so
        told = path.stat()
        key = (family.row.name, str(path.resolve()), told.st_mtime_ns, told.st_size)
        if key not in self._kept:
            file = lora.check(path, family)
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
            self._texts[key] = family.encode_text([text], family.row.text_length)
        self._texts.move_to_end(key)
        while len(self._texts) > MOST_TEXTS:
            self._texts.popitem(last=False)
        return self._texts[key]


def _read(file: LoraFile, dtype: torch.dtype, mapped: bool) -> Adapter:
    """Where the file allows it, its tensors are views of one piece of memory, so that they cost one reading of it and no more."""
    kind = DTYPES[min(file.dtypes)]
    if len(file.dtypes) > 1 or file.begin % kind.itemsize:  # numbers of several sizes, or at odd places
        return Adapter(file, {name: value.to(dtype, copy=True) for name, value in load_file(file.path).items()})
    if mapped:
        whole = torch.from_file(str(file.path), shared=False, size=file.path.stat().st_size, dtype=torch.uint8)
        whole[::PAGE].sum()  # so that its first use waits for no disk
    else:
        whole = torch.from_numpy(np.fromfile(file.path, np.uint8))
    parts = whole[file.begin :].view(kind).to(dtype).split([math.prod(shape) for shape in file.shapes.values()])
    return Adapter(file, {name: part.view(shape) for part, (name, shape) in zip(parts, file.shapes.items(), strict=True)})


@contextlib.contextmanager
def worn(family: Family, loras: Sequence[tuple[Adapter, float]]) -> Iterator[None]:
    """Inside, the network has these LoRAs, each times its weight; afterwards it is the plain base again. Not for training."""
    if not all(adapter.swaps for adapter, _ in loras):
        with lora.removed_after(family):
            _load_plainly(family, loras)
            yield
        return
    layers = dict(family.network.named_modules())
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for adapter, weight in loras:
        for name, (a, b) in adapter.pairs().items():
            found.setdefault(name, []).append((a, b if weight == 1 else weight * b))
    hooks = [layers[name].register_forward_hook(_Branch(pairs)) for name, pairs in found.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


class _Branch:
    """Adds B A x to what a Linear gives."""

    def __init__(self, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
        alone = len(pairs) == 1
        self.a = pairs[0][0] if alone else torch.cat([a for a, _ in pairs])
        self.b = pairs[0][1] if alone else torch.cat([b for _, b in pairs], 1)

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if self.a.device != output.device or self.a.dtype != output.dtype:
            self.a, self.b = (t.to(output.device, output.dtype, non_blocking=True) for t in (self.a, self.b))
        low = functional.linear(inputs[0].to(output.dtype), self.a)
        # a view, not a reshape: a copy would silently lose what is added to it
        output.view(-1, len(self.b)).addmm_(low.flatten(0, -2), self.b.T)
        return output


def _load_plainly(family: Family, loras: Sequence[tuple[Adapter, float]]) -> None:
    """By diffusers, into layers of peft."""
    pipeline = family.pipeline()
    names = [f"lora{number}" for number in range(len(loras))]
    for name, (adapter, _) in zip(names, loras, strict=True):
        pipeline.load_lora_weights(dict(adapter.tensors), adapter_name=name)
    lora.follow_base(family)
    pipeline.set_adapters(names, [weight for _, weight in loras])
