"""Pictures larger than a base can draw: in windows of its native size that overlap.

At every noise level each window tells its velocity, and the picture follows their mean, weighted so
that a window counts less towards its edges (MultiDiffusion, Bar-Tal et al. 2023, arXiv:2302.08113).
So windows agree at every level and leave no seam to hide. The noise is that of the whole picture.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

OVERLAP = 0.25  # of a window's side, at least
ALIGN = 16  # pixels: windows begin and end between tokens


@dataclass(frozen=True)
class Window:
    """`left`, `top`, `width` and `height` in pixels, multiples of 16."""

    left: int
    top: int
    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def of(self, grid: Tensor, pixels: int) -> Tensor:
        """What of ... x H x W lies in it, where a cell is so many pixels wide; a view."""
        left, top, width, height = (
            at // pixels for at in (self.left, self.top, self.width, self.height)
        )
        return grid[..., top : top + height, left : left + width]


def windows(size: tuple[int, int], side: int, largest_area: int) -> list[Window]:
    """Windows that cover a picture of width x height pixels, which are multiples of 16: one, if
    the base can draw it whole."""
    if size[0] * size[1] <= largest_area:
        return [Window(0, 0, *size)]
    width, height = (min(side, length) for length in size)
    return [
        Window(left, top, width, height)
        for top, left in itertools.product(_begins(size[1], height), _begins(size[0], width))
    ]


def _begins(length: int, side: int) -> list[int]:
    """Evenly spaced beginnings of windows that overlap by `OVERLAP` or more."""
    if length <= side:
        return [0]
    count = 1 - int((side - length) // ((1 - OVERLAP) * side))
    return [round(i * (length - side) / (count - 1) / ALIGN) * ALIGN for i in range(count)]


def merged(
    size: tuple[int, int], places: list[Window], pixels: int, tell: Callable[[Window], Tensor]
) -> Tensor:
    """The weighted mean of what `tell` gives of each window, over the whole grid; 0 where there
    is none.

    A window's weight falls from 1 in its middle to 0 at its edges as a squared cosine, in both
    directions. float32.
    """
    if len(places) == 1 and places[0].size == size:
        return tell(places[0]).float()
    rows, columns = size[1] // pixels, size[0] // pixels
    total, weights = torch.zeros(1), torch.zeros(rows, columns)
    for window in places:
        told = tell(window).float()
        if total.ndim == 1:
            total = told.new_zeros(*told.shape[:-2], rows, columns)
            weights = weights.to(told)
        weight = _weight(*told.shape[-2:]).to(told)
        window.of(total, pixels).add_(told * weight)
        window.of(weights, pixels).add_(weight)
    return total / weights.clamp(min=1e-12)


def _weight(rows: int, columns: int) -> Tensor:
    down, across = (
        torch.sin(torch.pi * (torch.arange(count) + 0.5) / count).square()
        for count in (rows, columns)
    )
    return down[:, None] * across
