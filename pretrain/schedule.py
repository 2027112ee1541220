"""How fast a stage learns, and one step of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def set_rate(
    optimizers: Sequence[Optimizer], highest: float, step: int, steps: int, warmup: int
) -> None:
    """A linear rise over `warmup` steps, `highest` until half of the steps are done, then a
    linear fall to a fiftieth."""
    rate = highest * min(1.0, (step + 1) / warmup) * min(1.0, 0.02 + (steps - step) / (steps / 2))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate


def descend(loss: Tensor, optimizers: Sequence[Optimizer], held: nn.Module | None = None) -> None:
    """One step down `loss` and gradients gathered before; the gradient of `held` is at most 1
    long."""
    loss.backward()
    if held is not None:
        torch.nn.utils.clip_grad_norm_(held.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
