"""The background removed: a picture whose alpha is how much of each pixel what it shows covers.

The segmenter's edge is drawn to the picture's by a guided filter (He et al. 2010), and the colour
of the background is taken out of the edge's pixels by blur fusion (Forte 2021, arXiv:2006.14970).
"""

from __future__ import annotations

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
GUIDED_AREA = 512**2  # pixels that the filter is fitted on
# of the shorter side: how far it looks; and what a colour must differ by to be an edge, squared
RADIUS, SMOOTH = 1 / 64, 1e-3
EDGE = 1 / 64  # of the shorter side: farther from the edge, a pixel is in or out
FUSED = (1 / 6, 1 / 64)  # of the shorter side: how far around colours are taken from


def remove(image: Image.Image, base: Base) -> Image.Image:
    """RGBA of the same size: people, animals and things of a base that has a segmenter, people on
    photographs; clear elsewhere.

    Raises InputError where the picture shows none.
    """
    chances = masks.likelihood(image, FOREGROUND, base)
    colours = np.asarray(image.convert("RGB"), np.float32) / 255
    alpha = refined(np.asarray(chances, np.float32) / 255, colours)
    if alpha.mean() < masks.LEAST:
        shown = "people, animals or things" if base.segmenter else "people"
        raise InputError(
            f"The picture shows no {shown} that could be cut out of its background: leave "
            "remove_background out."
        )
    cut = np.dstack([without_background(colours, alpha), alpha])
    return Image.fromarray((cut.clip(0, 1) * 255).round().astype(np.uint8), "RGBA")


def refined(alpha: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The `alpha` (H x W, 0 to 1) with the edges of the picture (H x W x 3): where it is unsure, it
    becomes a linear function of the colours around each pixel."""
    height, width = alpha.shape
    picture = torch.tensor(colours).permute(2, 0, 1)
    coarse = torch.tensor(alpha)[None]
    share = min(1.0, (GUIDED_AREA / (height * width)) ** 0.5)
    size = round(height * share), round(width * share)
    slope, offset = _guided(_resized(picture, size), _resized(coarse, size))
    fine = (_resized(slope, (height, width)) * picture).sum(0)
    fine = (fine + _resized(offset, (height, width))[0]).clamp(0, 1).numpy()
    whole = torch.tensor(alpha.round())[None]
    share = _mean(whole, max(1, round(min(height, width) * EDGE)))[0].numpy()
    return np.where((share > 1e-4) & (share < 1 - 1e-4), fine, alpha.round())


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
    front, behind = picture, picture
    for part in FUSED:
        radius = max(1, round(min(alpha.shape) * part))
        covered = _mean(share, radius)
        near = _mean(front * share, radius) / (covered + 1e-5)
        behind = _mean(behind * (1 - share), radius) / (1 - covered + 1e-5)
        front = (near + share * (picture - share * near - (1 - share) * behind)).clamp(0, 1)
    return front.permute(1, 2, 0).numpy()


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


def _resized(grid: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(grid.shape[1:]) == size:
        return grid
    return F.interpolate(grid[None], size, mode="bilinear", antialias=True)[0]
