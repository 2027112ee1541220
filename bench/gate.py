"""The inside of an arm: a training that stops after every slice of steps until its parent,
`bench.arms`, lets it go on.

The gate sits in `torch.optim.AdamW.step`, which every trainer calls once a step, so that a peer's
script runs as it is. What is given to both arms alike, so that their losses can be compared, is
here too: where the LoRA starts, noise and noise levels.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fluxbooth.training import flow

SEED = int(os.environ.get("BENCH_SEED", "0"))  # of the LoRA's start, the noise and the noise levels


class Gate:
    def __init__(self) -> None:
        self.replies = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # what a script prints is no reply
        self.left = 1
        self.seconds = list[float]()
        self.cpu = list[float]()
        self.losses = list[float]()
        self.began, self.cpu_began = time.perf_counter(), time.process_time()
        gate, adamw = self, torch.optim.AdamW

        class GatedAdamW(adamw):
            def step(self, *arguments: Any, **named: Any) -> Any:
                result = super().step(*arguments, **named)
                gate.passed()
                return result

        torch.optim.AdamW = GatedAdamW

    def passed(self) -> None:
        """A step is done; the next one begins, at once or when the parent says so."""
        self.seconds.append(time.perf_counter() - self.began)
        self.cpu.append(time.process_time() - self.cpu_began)
        self.left -= 1
        if self.left == 0:
            told = {
                "seconds": self.seconds,
                "cpu": self.cpu,
                "losses": self.losses,
                "peak_mb": high_water_mb(),
            }
            print(json.dumps(told), file=self.replies, flush=True)
            line = sys.stdin.readline()
            if not line:
                os._exit(0)
            self.left, self.seconds, self.cpu, self.losses = int(line), [], [], []
            # the peak of the steps, not that of loading
            Path("/proc/self/clear_refs").write_text("5")
        self.began, self.cpu_began = time.perf_counter(), time.process_time()


def high_water_mb() -> float:
    """Largest resident memory since the mark was last set back."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(
        "This system does not say how much memory a process took: run the benchmark on Linux."
    )


def start_lora(named: Iterable[tuple[str, nn.Parameter]]) -> None:
    """Fills the trainable parameters alike in both arms: A and B both, because B = 0 would hide
    half of the gradient."""
    rows = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    if not rows:
        raise RuntimeError("There is nothing to train in this arm: is peft's version another one?")
    for name, parameter in rows:
        layer, _, kind = name.partition(".lora_")
        draw = flow.generator(SEED, *layer.encode(), ord(kind[0]))
        parameter.data = 0.02 * torch.randn(parameter.shape, generator=draw).to(parameter)


def draws(shape: tuple[int, int, int], step: int) -> tuple[Tensor, Tensor]:
    """Packed noise of (batch, tokens, 64), and noise levels of (batch,), as
    `fluxbooth.train.step_loss` draws them for a step."""
    draw = flow.generator(SEED, 3, step)
    eps = torch.randn(shape, generator=draw)
    return eps, thousandths(torch.sigmoid(torch.randn(shape[0], generator=draw)))


def thousandths(sigma: Tensor) -> Tensor:
    """diffusers' script knows noise levels of 1/1000 to 1 only."""
    return (sigma * 1000).round().clamp(1, 1000) / 1000
