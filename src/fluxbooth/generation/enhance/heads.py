"""Where heads are in a picture.

In photographs, and in pictures of bases that draw such, dlib finds faces (`photos/faces.py`). In
nano's drawings it finds one in six: a small network that was trained on them finds the heads there.
"""

from __future__ import annotations

import functools
import itertools
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from fluxbooth.errors import InputError
from fluxbooth.models.base import Base
from fluxbooth.photos import faces

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

AREA = 128**2  # pixels, which drawings are scaled to
STRIDE = 8  # pixels a cell
SURE = 0.5  # of a cell's share of being in a head
# two boxes are of one head if they share so much of their union, or one has the middle of the
# other in it
SAME = 0.4
# a head's box in heights of its face (brows to chin): hair above, ears beside
ABOVE, BESIDE, BELOW = 0.55, 0.25, 0.1


def check(row: Base) -> None:
    """Raises InputError where heads cannot be found in this base's pictures."""
    if row.heads is None and not faces.available():
        raise InputError(
            "Faces are found by a package that is not here (dlib): pip install "
            "'fluxbooth[faces]', or leave out what draws faces anew or weighs them in training."
        )


def find(image: Image.Image, row: Base) -> list[Box]:
    """The heads in a picture of this base, from left to right. InputError as `check`."""
    check(row)
    if row.heads is not None:
        return sorted(load_finder(row.heads).find(image))
    found = faces.find(np.asarray(image.convert("RGB")))
    return sorted(_around(face, *image.size) for face in found)


def _around(face: faces.Face, width: int, height: int) -> Box:
    tall = face.height * height
    return (
        max(0.0, face.left * width - BESIDE * tall),
        max(0.0, face.top * height - ABOVE * tall),
        min(float(width), face.right * width + BESIDE * tall),
        min(float(height), face.bottom * height + BELOW * tall),
    )


class HeadFinder(nn.Module):
    """float n x 3 x H x W in -1..1 to n x 5 x H/8 x W/8: for each cell the logit of lying in the
    middle of a head, and the logarithms of the distances, in cells, from its centre to the left,
    top, right and bottom of that head's box (FCOS, Tian et al. 2019, arXiv:1904.01355)."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 48)
        self.stages = nn.Sequential(*[_stage(a, b, 2) for a, b in itertools.pairwise(widths)])
        self.around = nn.ModuleList(_stage(48, 48, 1, dilation) for dilation in (1, 2, 4, 2))
        self.last = nn.Conv2d(48, 5, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.stages(pixels)
        for stage in self.around:
            features = features + stage(features)
        return self.last(features)

    @torch.no_grad()
    def find(self, image: Image.Image) -> list[Box]:
        """Boxes of heads, surest first, in pixels of the picture and inside it."""
        scale = (AREA / (image.width * image.height)) ** 0.5
        width, height = (max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in image.size)
        seen = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        pixels = torch.tensor(np.asarray(seen)).permute(2, 0, 1)[None].float() / 127.5 - 1
        told = self(pixels)[0]
        sure, boxes = told[0].sigmoid(), _boxes(told[1:])
        rows, columns = torch.nonzero(sure > SURE, as_tuple=True)
        order = sure[rows, columns].argsort(descending=True)
        kept: list[Tensor] = []
        for box in boxes[:, rows[order], columns[order]].T:
            if not any(_same(box, other) for other in kept):
                kept.append(box)
        across, down = image.width / width, image.height / height
        return [
            (
                max(0.0, left * across),
                max(0.0, top * down),
                min(float(image.width), right * across),
                min(float(image.height), bottom * down),
            )
            for left, top, right, bottom in (box.tolist() for box in kept)
        ]


def _stage(inputs: int, outputs: int, stride: int, dilation: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def centres(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Of the cells, in pixels: y of shape rows x 1, x of 1 x columns."""
    y, x = (torch.arange(count) * STRIDE + STRIDE / 2 for count in (rows, columns))
    return y[:, None], x[None]


def _boxes(logs: Tensor) -> Tensor:
    """4 x rows x columns of distances to the same of left, top, right, bottom in pixels."""
    left, top, right, bottom = logs.exp() * STRIDE
    y, x = centres(*left.shape)
    return torch.stack([x - left, y - top, x + right, y + bottom])


def overlap(a: Tensor, b: Tensor) -> float:
    """Share of their union that two boxes have in common."""
    common = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
    return float(common / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - common))


def _same(a: Tensor, b: Tensor) -> bool:
    middles = [(one[:2] + one[2:]) / 2 for one in (a, b)]
    inside = [
        bool((box[:2] < middle).all() and (middle < box[2:]).all())
        for box, middle in zip((b, a), middles, strict=True)
    ]
    return overlap(a, b) >= SAME or any(inside)


@functools.cache
def load_finder(path: Path) -> HeadFinder:
    finder = HeadFinder()
    # counts of batches were not kept
    finder.load_state_dict({k: v.float() for k, v in load_file(path).items()}, strict=False)
    return finder.eval()
