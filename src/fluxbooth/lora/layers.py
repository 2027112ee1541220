"""The layers of a LoRA as tensors, whatever file they came from: one form, for drawing, training
and converting.

What a file stores of a layer (`names.py`) becomes its change D at strength 1, by diffusers'
layers: what the original network fuses is taken apart by rows of D. A LoRA keeps D as a product up
down; a LoHa and a LoKr keep their factors, and D is made of them when it is needed.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from fluxbooth.errors import InputError
from fluxbooth.lora import file as lora_file
from fluxbooth.lora.file import LoraFile
from fluxbooth.lora.names import Group

Spans = Sequence[tuple[int, int]]  # rows from, to


@dataclass(frozen=True)
class LowRank:
    """D = up down."""

    down: Tensor  # rank x inputs
    up: Tensor  # outputs x rank

    @property
    def rank(self) -> int:
        return len(self.down)

    def rows(self, spans: Spans) -> LowRank:
        return LowRank(self.down, _rows(self.up, spans))

    def matrix(self) -> Tensor:
        return self.up @ self.down

    def times(self, x: Tensor) -> Tensor:
        return functional.linear(functional.linear(x, self.down), self.up)

    def to(self, device: torch.device, dtype: torch.dtype) -> LowRank:
        return LowRank(_to(self.down, device, dtype), _to(self.up, device, dtype))

    def low_rank(self) -> LowRank:
        return self


@dataclass(frozen=True)
class Hadamard:
    """D = D_1 * D_2, number by number: LoHa."""

    first: LowRank
    second: LowRank

    def rows(self, spans: Spans) -> Hadamard:
        return Hadamard(self.first.rows(spans), self.second.rows(spans))

    def matrix(self) -> Tensor:
        return self.first.matrix() * self.second.matrix()

    def times(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.matrix())

    def to(self, device: torch.device, dtype: torch.dtype) -> Hadamard:
        return Hadamard(self.first.to(device, dtype), self.second.to(device, dtype))

    def low_rank(self) -> LowRank:
        """Exactly, at the product of the ranks: each column of one `up` times each of the
        other, and so the rows of `down`."""
        (a, b), (c, d) = (self.first.up, self.first.down), (self.second.up, self.second.down)
        return LowRank(
            (b[:, None] * d[None]).flatten(0, 1), (a[:, :, None] * c[:, None]).flatten(1)
        )


@dataclass(frozen=True)
class Kronecker:
    """Rows of D = w_1 (x) w_2: LoKr. A factor is one matrix or the product of two."""

    first: tuple[Tensor, ...]
    second: tuple[Tensor, ...]
    spans: Spans | None = None  # of D; all where None

    def rows(self, spans: Spans) -> Kronecker:
        assert self.spans is None
        return Kronecker(self.first, self.second, spans)

    def matrix(self) -> Tensor:
        whole = torch.kron(_multiplied(self.first), _multiplied(self.second))
        return whole if self.spans is None else _rows(whole, self.spans)

    def times(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.matrix())

    def to(self, device: torch.device, dtype: torch.dtype) -> Kronecker:
        first, second = (
            tuple(_to(t, device, dtype) for t in factor) for factor in (self.first, self.second)
        )
        return Kronecker(first, second, self.spans)

    def low_rank(self) -> LowRank:
        """Exactly, at the product of the factors' ranks: (a b) (x) (c d) = (a (x) c) (b (x) d)."""
        (a, b), (c, d) = _pair(self.first), _pair(self.second)
        up = torch.kron(a, c)
        return LowRank(torch.kron(b, d), up if self.spans is None else _rows(up, self.spans))


Change = LowRank | Hadamard | Kronecker


@dataclass(frozen=True)
class Layer:
    """What a LoRA makes of one Linear W x + bias at strength 1: (W + D) x + bias.

    With magnitudes (DoRA) each row of W + D is brought to the length that is given for it,
    (outputs,), or each column, (1, inputs).
    """

    change: Change
    magnitude: Tensor | None = None
    bias: Tensor | None = None  # added to the layer's own, (outputs,)

    @property
    def plain(self) -> LowRank | None:
        """Its change, if that is of low rank and all there is."""
        return (
            self.change
            if isinstance(self.change, LowRank) and self.magnitude is None and self.bias is None
            else None
        )

    def to(self, device: torch.device, dtype: torch.dtype) -> Layer:
        magnitude, bias = (
            None if value is None else _to(value, device, dtype)
            for value in (self.magnitude, self.bias)
        )
        return Layer(self.change.to(device, dtype), magnitude, bias)


def read(file: LoraFile) -> dict[str, Layer]:
    """A file's layers by diffusers' names. Raises InputError for numbers that are none."""
    lora_file.check_numbers(file)
    return made(file, {name: unpacked(value) for name, value in load_file(file.path).items()})


def unpacked(value: Tensor) -> Tensor:
    """8-bit numbers as bfloat16, which holds each of them exactly; others as they are."""
    return value.bfloat16() if value.dtype.itemsize == 1 else value


def made(file: LoraFile, tensors: Mapping[str, Tensor]) -> dict[str, Layer]:
    """The layers that the tensors of a file are. Where the strength is 1 they share its memory."""
    layers: dict[str, Layer] = {}
    for group in file.groups:
        found = {role: tensors[name] for role, name in group.tensors.items()}
        alpha = found.get("alpha")
        strength = file.strengths.of(group, None if alpha is None else alpha.item())
        change, bias = _change(file, group, found, strength), _bias(found, strength)
        spans = _spans(group)
        pieces: Sequence[Change] = [change.rows(rows) for rows in spans]
        if len(pieces) > 1 and isinstance(change, LowRank):
            pieces = _blocks(change, [piece for piece in pieces if isinstance(piece, LowRank)])
        for part, piece, rows in zip(group.parts, pieces, spans, strict=True):
            magnitude = _magnitude(found.get("magnitude"), rows)
            layer = Layer(piece, magnitude, None if bias is None else _rows(bias, rows))
            if not (layer.plain and not layer.plain.rank):  # else all of it is padding
                layers[part] = layer
    return layers


def _change(file: LoraFile, group: Group, found: Mapping[str, Tensor], strength: float) -> Change:
    def scaled(value: Tensor) -> Tensor:
        if strength == 1:
            return value
        result = (value.float() * strength).to(value.dtype)
        if not result.isfinite().all():
            raise InputError(
                f"{file.path} gives {group.name} the strength {strength:g}, which is more "
                "than its numbers can hold."
            )
        return result

    if group.kind == "LoRA":
        return LowRank(found["down"], scaled(found["up"]))
    if group.kind == "LoHa":
        first = LowRank(found["hada_w1_b"], scaled(found["hada_w1_a"]))
        return Hadamard(first, LowRank(found["hada_w2_b"], found["hada_w2_a"]))
    first, second = (
        (found[f"lokr_{w}"],)
        if f"lokr_{w}" in found
        else (found[f"lokr_{w}_a"], found[f"lokr_{w}_b"])
        for w in ("w1", "w2")
    )
    return Kronecker((scaled(first[0]), *first[1:]), second)


def _bias(found: Mapping[str, Tensor], strength: float) -> Tensor | None:
    parts = [found["bias"] * strength] if "bias" in found else []
    if "bias_difference" in found:
        parts.append(found["bias_difference"])
    total = sum(parts[1:], parts[0]) if parts else None
    return total if total is not None and total.any() else None


def _magnitude(value: Tensor | None, spans: Spans) -> Tensor | None:
    """(outputs,) or (1, inputs)"""
    if value is None or (value.ndim == 2 and len(value) == 1 < value.shape[1]):
        return value
    return _rows(value.flatten(), spans)


def _spans(group: Group) -> list[Spans]:
    """The rows of each part, in diffusers' order."""
    if group.shift_first:
        half = group.outputs // 2
        return [((half, group.outputs), (0, half))]
    return [
        ((end - height, end),)
        for height, end in zip(group.heights, itertools.accumulate(group.heights), strict=True)
    ]


def _blocks(whole: LowRank, parts: Sequence[LowRank]) -> Sequence[LowRank]:
    """The parts of a fused layer, each of its own rank if they were put together block by
    block; else with all of `down`."""
    rank = whole.rank // len(parts)
    if rank * len(parts) != whole.rank:
        return parts
    blocks = [part.up.split(rank, 1) for part in parts]
    if any(blocks[i][j].any() for i in range(len(parts)) for j in range(len(parts)) if i != j):
        return parts
    trimmed = [
        _trimmed(LowRank(down, blocks[i][i])) for i, down in enumerate(whole.down.split(rank))
    ]
    # a LoRA of zeros has a rank, too
    return trimmed if any(part.rank for part in trimmed) else parts


def _trimmed(change: LowRank) -> LowRank:
    """Without the zeros that brought the parts of a fused layer to one rank."""
    kept = change.down.any(1) | change.up.any(0)
    return change if kept.all() else LowRank(change.down[kept], change.up[:, kept])


def _rows(value: Tensor, spans: Spans) -> Tensor:
    pieces = [value[start:end] for start, end in spans]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _multiplied(factor: tuple[Tensor, ...]) -> Tensor:
    return factor[0] if len(factor) == 1 else factor[0] @ factor[1]


def _pair(factor: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """A factor as a product of the least rank that is known."""
    if len(factor) == 2:
        return factor[0], factor[1]
    matrix = factor[0]
    eye = torch.eye(min(matrix.shape), dtype=matrix.dtype)
    return (matrix, eye) if matrix.shape[0] >= matrix.shape[1] else (eye, matrix)


def _to(value: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return value.to(device, dtype, non_blocking=True)
