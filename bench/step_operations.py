"""How many operations a training step and a request of four pictures have, and how many of them copy:
what a card's host must order, whatever the card.

    python -m bench.step_operations [--json FILE]

Counted by torch's profiler on a CPU, on a network of FLUX.1-dev's 57 blocks at a small width, with all
blocks recomputed. Copies from main memory that a card's host waits for are counted on tensors that
say they are on a card and have no memory: those that are not told to go by themselves.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from bench import full_size
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import registry
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.models.flux1.size import Flux1Shape
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec
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
    for event in profiled.events():
        if event.name.startswith("aten::"):
            found["operations"] += 1
            found["copies"] += event.name in COPIES
    return dict(found)


class _HostCopies(TorchDispatchMode):
    """Copies from main memory to a card."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = self.of_themselves = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        result = function(*args, **given)
        name = str(function)
        if "_to_copy" in name and args[0].device.type == "cpu" and result.device.type == "cuda":
            if given.get("non_blocking"):
                self.of_themselves += 1
            else:
                self.waited += 1
        return result


def host_copies() -> dict[str, int]:
    """Of a forward pass after the first one."""
    settled = spec()
    with torch.device("meta"):
        network = full_size.network(SIZE)
    made = object.__new__(Flux1)
    made.row, made.network = registry.find("flux-dev"), network
    made.dtype = made.stored = torch.float32
    made.choice = Choice("float32", encoders="stay")
    made.device = torch.device("cuda")
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    for module in network.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                with mode:
                    fake = torch.empty(parameter.shape, device="cuda")
                setattr(module, name, torch.nn.Parameter(fake, requires_grad=False))
    with mode, torch.no_grad():
        data = batch()
        data = Batch(data.z, data.conditioning, data.size, data.indices)
        if not hasattr(data, "to"):  # as it was kept on the card
            data = Batch(
                data.z.to("cuda"),
                {name: value.to("cuda") for name, value in data.conditioning.items()},
                data.size,
                data.indices,
            )
        step_loss(made, data, settled, 0)
        with _HostCopies() as counted:
            step_loss(made, data, settled, 1)
    return {"waited for": counted.waited, "of themselves": counted.of_themselves}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.step_operations", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    options = parser.parse_args()
    found = {
        "all kept": operations(recomputed=False),
        "all recomputed": operations(recomputed=True),
        "copies from main memory": host_copies(),
    }
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
