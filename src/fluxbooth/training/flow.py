"""Rectified flow as FLUX is trained by it: sigma law, interpolation, target, loss.

Symbols, as in the rectified-flow papers (Liu et al. 2022, arXiv:2209.03003; Esser et al. 2024,
arXiv:2403.03206): z is a clean latent, eps is Gaussian noise of its shape, sigma in (0, 1) is the
share of noise, and

    x = (1 - sigma) z + sigma eps,      the model predicts the velocity  dx/dsigma = eps - z.

Latents are opaque here: any shape whose first axis is the batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

SigmaLaw = Literal["logit-normal", "uniform", "shifted"]
# where the validation loss looks: from nearly clean to nearly pure noise
VALIDATION_SIGMAS: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9)


def generator(*key: int) -> torch.Generator:
    """Random numbers that depend on `key` alone, so that a step draws the same ones before and
    after a resume.

    The parts are mixed by a polynomial hash into 63 bits; each part must lie in 0..2^63 - 1.
    """
    mixed = 0x9E3779B97F4A7C15
    for part in key:
        mixed = ((mixed ^ part) * 0xBF58476D1CE4E5B9 + 0x94D049BB133111EB) % 2**64
        mixed ^= mixed >> 31
    return torch.Generator().manual_seed(mixed % 2**63)


def sample_sigma(law: SigmaLaw, batch: int, random: torch.Generator, mu: float) -> Tensor:
    """Noise levels to train at, float32 of shape (batch,), each in (0, 1).

    "logit-normal": sigmoid of N(0, 1), most weight on the middle (Esser et al. 2024, section 3.1);
    "uniform"; "shifted": logit-normal, then moved towards noise by `mu`, as the base's sampler
    does.
    """
    if law == "uniform":
        return torch.rand(batch, generator=random).clamp(1e-4, 1 - 1e-4)
    sigma = torch.sigmoid(torch.randn(batch, generator=random))
    return shift(sigma, mu) if law == "shifted" else sigma


def shift(sigma: Tensor, mu: float) -> Tensor:
    """Towards noise: sigma -> e^mu sigma / (1 + (e^mu - 1) sigma)."""
    return math.exp(mu) * sigma / (1 + (math.exp(mu) - 1) * sigma)


def interpolate(z: Tensor, eps: Tensor, sigma: Tensor) -> Tensor:
    """x = (1 - sigma) z + sigma eps, with sigma of shape (batch,)."""
    sigma = sigma.to(z.dtype).view(-1, *[1] * (z.ndim - 1))
    return (1 - sigma) * z + sigma * eps


def velocity_loss(velocity: Tensor, z: Tensor, eps: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error against eps - z, in float32 whatever the model computes in; a scalar.

    With a `weight`, of the latents' shape, it is the mean of each picture's weighted mean, so that
    one with a small head counts as much as one with a large one.
    """
    squared = (velocity.float() - (eps.float() - z.float())).square()
    if weight is None:
        return squared.mean()
    return ((squared * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)).mean()
