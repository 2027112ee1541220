"""Muon: momentum whose update of each matrix is made orthogonal (Jordan et al. 2024,
kellerjordan.github.io/posts/muon).

torch.optim.Muon computes in bfloat16 everywhere, which processors without it imitate many times
slower; this one does where the processor multiplies it, and takes all matrices of one shape at a
time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pretrain.precision import NUMBER

# the quintic of the post: it drives singular values from (0, 1] to about 1 in five rounds
QUINTIC, ROUNDS = (3.4445, -4.7750, 2.0315), 5


class Muon(Optimizer):
    """For matrices, and for convolutions as matrices of their filters.

    A step is as large as AdamW's of the same `lr` is (Liu et al. 2025, arXiv:2502.16982).
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                by_shape[tuple(parameter.shape)].append(parameter)
            for shape, parameters in by_shape.items():
                updates = torch.stack(
                    [self._nesterov(p, group["momentum"]) for p in parameters]
                ).flatten(2)
                scale = 0.2 * max(updates.shape[1:]) ** 0.5
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(
                    parameters,
                    list(orthogonal(updates).view(-1, *shape)),
                    alpha=-group["lr"] * scale,
                )

    def _nesterov(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        average = state.setdefault("momentum", torch.zeros_like(parameter))
        average.lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(average, momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest half-orthogonal matrices, roughly (Newton-Schulz iteration); n x rows x
    columns, as given back."""
    a, b, c = QUINTIC
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.mT
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)).to(NUMBER)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.mT).to(matrices.dtype)


def optimizers_of(
    network: nn.Module, lr: float, weight_decay: float
) -> tuple[Optimizer, Optimizer]:
    """For a convolutional network: Muon for its filters, AdamW for norms and heads."""
    filters = [p for p in network.parameters() if p.ndim == 4]
    rest = [p for p in network.parameters() if p.ndim != 4]
    return Muon(filters, lr=lr, weight_decay=weight_decay), torch.optim.AdamW(
        rest, lr=lr, weight_decay=weight_decay, fused=True
    )
