"""The background removed: a picture whose alpha is how much of each pixel what it shows covers.

The segmenter's edge is drawn to the picture's by a guided filter (He et al. 2010), and the colour
of the background is taken out of the edge's pixels by blur fusion (Forte 2021, arXiv:2006.14970).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import masks
from fluxbooth.models.base import Base
from fluxbooth.prompts.mask_words import PARTS

FOREGROUND = frozenset(PARTS[1:])
# of a picture that shows something, at least so much is so sure: of nano's empty places, of which a
# sun or a tree may reach 0.9, none is; of people all are, and 14 of 18 things it has not seen
LEAST, SURE = 0.005, 0.95
AREA = 512**2  # pixels that the filter is fitted on, and colours are taken from
# of the shorter side: how far it looks; and what a colour must differ by to be an edge, squared
RADIUS, SMOOTH = 1 / 16, 1e-3
EDGE = 1 / 32  # of the shorter side: farther from the edge, a pixel is in or out
SHRUNK = 0.25  # what a fit to too small or too large a mask takes from 1 and adds to 0
FUSED = (1 / 6, 1 / 64)  # of the shorter side: how far around colours are taken from


def remove(image: Image.Image, base: Base) -> Image.Image:
    """RGBA of the same size: people, animals and things of a base that has a segmenter, people on
    photographs; clear elsewhere.

    Raises InputError where the picture shows none.
    """
    chances = np.asarray(masks.likelihood(image, FOREGROUND, base), np.float32) / 255
    colours = np.asarray(image.convert("RGB"), np.float32) / 255
    if (chances > SURE).mean() < LEAST:
        shown = "people, animals or things" if base.segmenter else "people"
        raise InputError(
            f"The picture shows no {shown} that could be cut out of its background: leave "
            "remove_background out."
        )
    alpha = refined(chances, colours)
    cut = np.dstack([without_background(colours, alpha), alpha])
    return Image.fromarray((cut.clip(0, 1) * 255).round().astype(np.uint8), "RGBA")


def refined(alpha: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The `alpha` (H x W, 0 to 1), of which only where it is more than a half is taken, with the
    edges of the picture (H x W x 3): along its own edge it becomes a linear function of the colours
    around each pixel."""
    picture, mask = torch.tensor(colours).permute(2, 0, 1), torch.tensor(alpha.round())[None]
    slope, offset = _guided(_reduced(picture), _reduced(mask))
    fine = (_resized(slope, alpha.shape) * picture).sum(0) + _resized(offset, alpha.shape)[0]
    fine = ((fine - SHRUNK) / (1 - 2 * SHRUNK)).clamp(0, 1)
    share = _mean(mask, max(1, round(min(alpha.shape) * EDGE)))[0]
    return torch.where((share > 1e-4) & (share < 1 - 1e-4), fine, mask[0]).numpy()


def _guided(picture: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes (3 x H x W) and offset (1 x H x W) of the alpha as a function of the colours."""
    radius = max(1, round(min(alpha.shape[1:]) * RADIUS))
    mean, part = _mean(picture, radius), _mean(alpha, radius)
    together = _mean(picture * alpha, radius) - mean * part
    products = picture[:, None] * picture[None]
    spread = _mean(products.flatten(0, 1), radius).unflatten(0, (3, 3)) - mean[:, None] * mean[None]
    spread = spread.permute(2, 3, 0, 1) + SMOOTH * torch.eye(3)
    slope = torch.linalg.solve(spread, together.permute(1, 2, 0)).permute(2, 0, 1)
    offset = part - (slope * mean).sum(0, keepdim=True)
    return _mean(slope, radius), _mean(offset, radius)


def without_background(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The colours (H x W x 3) of what stands in front, of a picture whose edges mix them with what
    is behind."""
    picture, share = torch.tensor(colours).permute(2, 0, 1), torch.tensor(alpha)[None]
    small, covered = _reduced(picture), _reduced(share)
    near, behind, front = small, small, small
    for part in FUSED:
        radius = max(1, round(min(covered.shape[1:]) * part))
        around = _mean(covered, radius)
        near = _mean(front * covered, radius) / (around + 1e-5)
        behind = _mean(behind * (1 - covered), radius) / (1 - around + 1e-5)
        front = _unmixed(small, covered, near, behind)
    near, behind = _resized(near, alpha.shape), _resized(behind, alpha.shape)
    return _unmixed(picture, share, near, behind).permute(1, 2, 0).numpy()


def _unmixed(picture: Tensor, share: Tensor, near: Tensor, behind: Tensor) -> Tensor:
    """The colour `near`, moved by what a mix of it and the one `behind` leaves of the picture."""
    return (near + share * (picture - share * near - (1 - share) * behind)).clamp(0, 1)


def _mean(grid: Tensor, radius: int) -> Tensor:
    """Over the square of that radius around each place of C x H x W, as far as it is inside."""
    sums, count = grid, grid.new_ones(1, *grid.shape[1:])
    for axis in (1, 2):
        sums, count = (_window(values, radius, axis) for values in (sums, count))
    return sums / count


def _window(grid: Tensor, radius: int, axis: int) -> Tensor:
    """Sums along the axis of what is within the radius of each place."""
    length = grid.shape[axis]
    summed = F.pad(grid.movedim(axis, -1).cumsum(-1), (1, 0))
    places = torch.arange(length)
    after, before = (places + radius + 1).clamp(max=length), (places - radius).clamp(min=0)
    return (summed[..., after] - summed[..., before]).movedim(-1, axis)


def _reduced(grid: Tensor) -> Tensor:
    """C x H x W in at most AREA pixels."""
    height, width = grid.shape[1:]
    share = min(1.0, (AREA / (height * width)) ** 0.5)
    return _resized(grid, (round(height * share), round(width * share)))


def _resized(grid: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(grid.shape[1:]) == tuple(size):
        return grid
    return F.interpolate(grid[None], tuple(size), mode="bilinear", antialias=True)[0]
