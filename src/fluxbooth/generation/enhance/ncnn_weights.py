"""Weights of a convolutional network as ncnn stores them: `.param`, the list of its layers in
text, and `.bin`, their numbers one after the other in the same order."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from fluxbooth.errors import FluxboothError

MAGIC = "7767517"  # first line of a `.param`
# what stands before the weights of a convolution; slopes and biases have no such word before them
FLOAT32, FLOAT16 = 0, 0x01306B47
Shape = tuple[int, ...]


def read(param: Path, binary: Path) -> list[torch.Tensor]:
    """The parameters of every layer in order, float32, in torch's shapes: of a convolution its
    weight (out, in, height, width) and its bias, of a PReLU its slopes.

    Raises FluxboothError, naming the file, for one that is cut off or none of this kind.
    """
    try:
        lines = param.read_text().splitlines()
        if lines[0] != MAGIC:
            raise ValueError(f"its first line is not {MAGIC}")
        wanted = [shape for line in lines[2:] if line for shape in _shapes(line)]
        return list(_tensors(binary.read_bytes(), wanted))
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise FluxboothError(
            f"The upscaler's weights in {binary.name} cannot be read ({error}): install their "
            "package again."
        ) from error


def _shapes(line: str) -> list[tuple[Shape, bool]]:
    """Shapes of what one layer keeps in the `.bin`, each with whether a word about its numbers'
    type stands before it.

    A line has type, name, how many inputs and outputs, their names, then `key=value`.
    """
    kind, _, inputs, outputs, *rest = line.split()
    told = dict(pair.split("=", 1) for pair in rest[int(inputs) + int(outputs) :])
    if kind == "PReLU":
        return [((int(told["0"]),), False)]
    if kind != "Convolution":
        return []
    out, across = int(told["0"]), int(told["1"])
    down = int(told.get("11", across))
    bias = [((out,), False)] if told.get("5") == "1" else []
    return [((out, int(told["6"]) // (out * across * down), down, across), True), *bias]


def _tensors(data: bytes, wanted: list[tuple[Shape, bool]]) -> Iterator[torch.Tensor]:
    at = 0
    for shape, told in wanted:
        kind, count = FLOAT32, math.prod(shape)
        if told:
            kind = int(np.frombuffer(data, "<u4", 1, at)[0])
            at += 4
        if kind not in (FLOAT32, FLOAT16):
            raise ValueError(f"numbers of type {kind:#x}, which is neither float16 nor float32")
        values = np.frombuffer(data, "<f2" if kind == FLOAT16 else "<f4", count, at)
        at += -(-values.nbytes // 4) * 4  # the next begins at a whole word
        yield torch.from_numpy(values.astype(np.float32).reshape(shape))
    if at != len(data):
        raise ValueError(f"{len(data)} bytes where its layers take {at}")
