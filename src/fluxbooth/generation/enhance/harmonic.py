"""A grid continued from where it is known so that each other cell is the mean of its neighbours: a
membrane, as it joins pictures in "Poisson image editing" (Perez et al. 2003).

Coarse grids are filled first and each finer one begins from them (cascadic multigrid), so a few
sweeps at each are enough.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SWEEPS = 12  # over each grid: what is left is below a grey level
SMALLEST = 2  # cells of a side: so small a grid takes the mean of what it knows


def continued(given: Tensor, known: Tensor) -> Tensor:
    """C x H x W: `given` where 1 x H x W `known` is 1, and harmonic where it is 0, with no slope at
    the grid's edges. `given` is 0 there, and something is known."""
    height, width = known.shape[1:]
    if known.min() == 1:
        return given
    if max(height, width) <= SMALLEST:
        return torch.where(known > 0, given, given.sum((1, 2), True) / known.sum())
    half = (height + 1) // 2, (width + 1) // 2
    sums = F.interpolate(torch.cat([given, known])[None], half, mode="area")[0]
    seen = (sums[-1:] > 0).float()
    coarse = continued(sums[:-1] / sums[-1:].clamp(min=1e-6), seen)
    finer = F.interpolate(coarse[None], (height, width), mode="bilinear")[0]
    for _ in range(SWEEPS):
        finer = torch.where(known > 0, given, _mean_of_neighbours(finer))
    return finer


def _mean_of_neighbours(grid: Tensor) -> Tensor:
    padded = F.pad(grid[None], (1, 1, 1, 1), mode="replicate")[0]
    across = padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    return (padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + across) / 4
