"""How fast a stage learns."""

from __future__ import annotations

from collections.abc import Sequence

from torch.optim import Optimizer


def set_rate(optimizers: Sequence[Optimizer], highest: float, step: int, steps: int, warmup: int) -> None:
    """A linear rise over `warmup` steps, `highest` until half of the steps are done, then a linear fall to a fiftieth."""
    rate = highest * min(1.0, (step + 1) / warmup) * min(1.0, 0.02 + (steps - step) / (steps / 2))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
