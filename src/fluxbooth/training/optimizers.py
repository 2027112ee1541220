"""The optimisers by name, and the learning rate at each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from fluxbooth.errors import InputError
from fluxbooth.specs import ResolvedTrainSpec

WARMUP_STEPS = 10


def learning_rate(spec: ResolvedTrainSpec, step: int) -> float:
    """Ten steps of warm-up, then constant, then down to a tenth in a straight line: over the last
    fifth, or over the second half of the steps after which it settles."""
    end, falling = spec.steps, 0.2
    if spec.settle_steps:
        end, falling = min(spec.steps, spec.settle_steps), 0.5
    tail = max(0.0, end - step) / max(1.0, falling * end)
    return spec.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS) * min(1.0, 0.1 + 0.9 * tail)


def make_optimizer(spec: ResolvedTrainSpec, parameters: Sequence[nn.Parameter]) -> Optimizer:
    fused = {"fused": True} if spec.optimizer == "adamw" else {}
    return optimizer_class(spec.optimizer)(
        parameters, lr=spec.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4, **fused
    )


def optimizer_class(name: str) -> Callable[..., Optimizer]:
    """The optimiser by name.

    Raises InputError, naming the package to install, for one that is not there.
    """
    try:
        if name == "adamw8bit":
            from bitsandbytes.optim import AdamW8bit

            return AdamW8bit
        if name == "prodigy":
            from prodigyopt import Prodigy

            return Prodigy
    except ImportError as error:
        package = {"adamw8bit": "fluxbooth[quant]", "prodigy": "fluxbooth[prodigy]"}[name]
        raise InputError(
            f"The optimiser {name} needs a package: pip install '{package}', or use adamw."
        ) from error
    return torch.optim.AdamW
