"""Row B6: how a training step of nano's network grows with the picture, the batch and the rank.

Processor time of a step, and the peak of its activations and gradients in bytes that were alive,
counted operation by operation.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch

from fluxbooth import TrainSpec
from fluxbooth.lora import training as lora_training
from fluxbooth.models import loader, registry
from fluxbooth.models.family import Family
from fluxbooth.training.dataset import Batch
from fluxbooth.training.loop import step_loss
from fluxbooth.training.optimizers import make_optimizer
from tests.support.meter import Meter

TEXT = 48  # tokens


def measured(family: Family, side: int, batch: int, rank: int, rounds: int) -> tuple[float, float]:
    """Seconds of processor time, and megabytes above what stays between two steps."""
    spec = registry.resolve(
        TrainSpec(class_name="man", base="nano", rank=rank, dtype="float32", batch_size=batch), 1
    )
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(batch, (side // 16) ** 2, 64, generator=draw)
    told = {
        "states": torch.randn(batch, TEXT, 192, generator=draw),
        "pooled": torch.randn(batch, 128, generator=draw),
    }
    example = Batch(z, told, (side, side), tuple(range(batch)))
    with lora_training.removed_after(family):
        optimizer, times = make_optimizer(spec, lora_training.add(family, rank, 0)), []
        for number in range(rounds + 1):
            began = time.process_time()
            step_loss(family, example, spec, number).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            times.append(time.process_time() - began)
        with Meter() as meter:
            meter.count(parameter.data for parameter in family.network.parameters())
            stays = meter.now
            step_loss(family, example, spec, 0).backward()
        return statistics.median(times[1:]), (meter.peak - stays) / 1e6


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent p of values ~ sizes^p, by least squares of the logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    return statistics.linear_regression(x, y).slope


def rows(
    *, sides: Sequence[int], batches: Sequence[int], ranks: Sequence[int], rounds: int
) -> dict[str, Any]:
    family = loader.load("nano", training=True, dtype="float32")
    found: dict[str, Any] = {}
    for name, sizes, cases in (
        ("side, px", sides, [(side, 1, 16) for side in sides]),
        ("batch at 128 px", batches, [(128, batch, 16) for batch in batches]),
        ("rank at 128 px", ranks, [(128, 1, rank) for rank in ranks]),
    ):
        results = [measured(family, *case, rounds) for case in cases]
        times, peaks = [time for time, _ in results], [memory for _, memory in results]
        # the slope of a side is against its area
        grown = [size**2 if name.startswith("side") else size for size in sizes]
        found[name] = {
            "at": list(sizes),
            "cpu seconds": times,
            "activations, MB": peaks,
            "slope of time": slope(grown, times),
            "slope of memory": slope(grown, peaks),
        }
    return found
