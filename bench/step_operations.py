"""How many operations a training step and a request of four pictures have, and how many of them copy:
what a card's host must order, whatever the card.

    python -m bench.step_operations [--json FILE]

Counted by torch's profiler on a CPU, on a network of FLUX.1-dev's 57 blocks at a small width, with all
blocks recomputed and with all kept. Copies from main memory are counted on tensors without memory, in the
place of a card's: those that the host waits for, and those out of pinned memory, that go by themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from bench import full_size
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import family as families
from fluxbooth.models import registry
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.models.flux1.size import Flux1Shape
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec
from fluxbooth.training import dataset, loop
from fluxbooth.training.dataset import Batch
from fluxbooth.training.loop import step_loss
from fluxbooth.training.optimizers import make_optimizer

SIZE = Flux1Shape(19, 38, 128, 1, 64, 32, True, 64, 0, 0, 0)
SIDE, TEXT = 64, 16
COPIES = ("aten::copy_", "aten::_to_copy", "aten::clone", "aten::contiguous")


def family() -> Flux1:
    made = full_size.without_weights(SIZE, Choice("float32", encoders="stay"), lambda text: None)
    made.load_network()
    return made


def spec() -> ResolvedTrainSpec:
    asked = TrainSpec(
        class_name="man", base="flux-dev", rank=4, resolutions=(SIDE,), text_length=TEXT
    )
    return registry.resolve(asked, 10)


def batch() -> Batch:
    told = {
        "states": torch.zeros(1, TEXT, SIZE.joint_attention_dim),
        "pooled": torch.zeros(1, SIZE.pooled_projection_dim),
    }
    return Batch(torch.zeros(1, (SIDE // 16) ** 2, SIZE.in_channels), told, (SIDE, SIDE), (0,))


def operations(*, recomputed: bool) -> dict[str, int]:
    """Of the third step."""
    made, settled, data = family(), spec(), batch()
    parameters = lora_training.add(made, settled.rank, 0)
    made.checkpoint_gradients(len(SIZE.blocks) if recomputed else 0)
    optimizer = make_optimizer(settled, parameters)

    def step(number: int) -> None:
        step_loss(made, data, settled, number).backward()
        torch.nn.utils.clip_grad_norm_(parameters, settled.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for number in range(2):
        step(number)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step(2)
    found: Counter[str] = Counter()
    for event in profiled.events() or ():
        if event.name.startswith("aten::"):
            found["operations"] += 1
            found["copies"] += event.name in COPIES
    return dict(found)


class _HostCopies(TorchDispatchMode):
    """Copies from main memory to the stand-in for a card."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if "copy" in str(function):
            self.count += args[0].device.type == "cpu" and result.device.type == "meta"
        return result


def host_copies() -> dict[str, int]:
    """Of the forward pass of a step after the first one; the stand-in for a card is torch's device
    without memory, which refuses whatever would wait for a number of the card's."""
    settled, place = spec(), torch.device("meta")
    made = object.__new__(Flux1)
    made.row = registry.find("flux-dev")
    with place:
        made.network = full_size.network(SIZE)
    made.dtype = made.stored = torch.float32
    made.choice, made.device = Choice("float32", encoders="stay"), place
    made._pipeline = SimpleNamespace(scheduler=FlowMatchEulerDiscreteScheduler())
    data = batch()
    if not hasattr(data, "to"):  # of a version that kept its dataset on the card
        there = {name: value.to(place) for name, value in data.conditioning.items()}
        data = Batch(data.z.to(place), there, data.size, data.indices)
    pinned = [0]

    def counted(value: torch.Tensor, device: torch.device) -> torch.Tensor:
        pinned[0] += value.device != device
        return value.to(device)

    with torch.no_grad(), contextlib.ExitStack() as patched:
        for module in (families, loop, dataset):
            if hasattr(module, "to_device"):
                patched.enter_context(mock.patch.object(module, "to_device", counted))
        # it knows no device without memory
        nothing = mock.patch.object(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
        patched.enter_context(nothing)
        step_loss(made, data, settled, 0)
        pinned[0] = 0
        with _HostCopies() as copies:
            step_loss(made, data, settled, 1)
    return {"waited for": copies.count - pinned[0], "of themselves": pinned[0]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.step_operations", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    options = parser.parse_args()
    found: dict[str, dict[str, int]] = {}
    for name, count in (
        ("all kept", functools.partial(operations, recomputed=False)),
        ("all recomputed", functools.partial(operations, recomputed=True)),
        ("copies from main memory", host_copies),
    ):
        found[name] = count()
        print(json.dumps({name: found[name]}), flush=True)
        if options.json:
            options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
