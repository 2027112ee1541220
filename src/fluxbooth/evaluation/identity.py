"""Whether a drawing shows the same individual as photos do, on bases that draw as nano does.

A small convolutional network maps a head to a point; heads of one individual lie close together
(supervised contrastive learning, Khosla et al. 2020, arXiv:2004.11362; `pretrain/embedding.py`
trains it). Unlike the reader of attributes it has no vocabulary: any hair, colour or shape will do.
What it says of a photograph of a person means nothing.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from fluxbooth.generation.enhance.heads import load_finder
from fluxbooth.models.attribute_reader import convolutions, with_places

Box = Sequence[float]  # left, top, right, bottom in pixels
SIDE = 72  # pixels of what is looked at
AROUND = 1.25  # its side in sides of the head's box
LENGTH = 128  # of an embedding
WIDTHS = (5, 32, 64, 128, 192)


class Embedding(nn.Module):
    """float n x 3 x H x W in -1..1, a head each, to n x LENGTH of length 1; H and W near SIDE."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.Sequential(*[convolutions(a, b) for a, b in itertools.pairwise(WIDTHS)])
        self.last = nn.Linear(2 * WIDTHS[-1], LENGTH)

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.normalize(self.last(self.pooled(pixels)), dim=1)

    def pooled(self, pixels: Tensor) -> Tensor:
        features = self.stages(with_places(pixels))
        return torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)


def around(image: Image.Image, box: Box, times: float, side: int) -> Image.Image:
    """The square around a box whose side is that many of the box's longer one, reduced to `side`
    pixels; beyond the picture its edge goes on."""
    left, top, right, bottom = box
    half = max(2.0, times * max(right - left, bottom - top) / 2)
    x, y = (left + right) / 2, (top + bottom) / 2
    ends = [round(end) for end in (x - half, y - half, x + half, y + half)]
    over = [max(0, -ends[0]), max(0, -ends[1]), max(0, ends[2] - image.width)]
    over.append(max(0, ends[3] - image.height))
    pixels = np.asarray(image.convert("RGB"))
    pixels = np.pad(pixels, ((over[1], over[3]), (over[0], over[2]), (0, 0)), mode="edge")
    seen = pixels[
        ends[1] + over[1] : ends[3] + over[1],
        ends[0] + over[0] : ends[2] + over[0],
    ]
    return Image.fromarray(seen).resize((side, side), Image.Resampling.LANCZOS)


def to_pixels(heads: Sequence[Image.Image]) -> Tensor:
    """n x 3 x H x W in -1..1 of pictures of one size."""
    stacked = np.stack([np.asarray(head.convert("RGB")) for head in heads])
    return torch.tensor(stacked).permute(0, 3, 1, 2).float() / 127.5 - 1


@dataclass(frozen=True)
class Identity:
    """The network with the finder of heads it looks through, and how a similarity reads as the
    probability of being the same individual: logistic(slope x (similarity - even))."""

    network: Embedding
    heads: Path
    slope: float
    even: float

    @torch.no_grad()
    def embed(self, image: Image.Image) -> Tensor:
        """heads x LENGTH: of each head in a picture; where none is found, of all of it."""
        boxes = load_finder(self.heads).find(image) or [(0.0, 0.0, *map(float, image.size))]
        return self.network(to_pixels([around(image, box, AROUND, SIDE) for box in boxes]))

    def subject(self, photos: Sequence[Image.Image]) -> Tensor:
        """LENGTH: the middle of the photos. Of several heads on one of them the one counts that is
        most like the heads on the others."""
        found = [self.embed(photo) for photo in photos]
        middle = torch.cat(found).mean(0)
        likest = torch.stack([heads[(heads @ middle).argmax()] for heads in found])
        return functional.normalize(likest.mean(0), dim=0)

    def similarity(self, image: Image.Image, subject: Tensor) -> float:
        """-1 to 1, of the head that is most like the subject."""
        return float((self.embed(image) @ subject).max())

    def probability(self, similarity: float) -> float:
        """Of being the same individual, if as many pictures of others as of the subject came."""
        return float(1 / (1 + np.exp(-self.slope * (similarity - self.even))))


def load_identity(path: Path, heads: Path) -> Identity:
    """The embedding in a file, with the finder of heads in another."""
    network = Embedding()
    with safe_open(path, "pt") as file:
        calibration = json.loads(file.metadata()["calibration"])
        network.load_state_dict(
            {name: file.get_tensor(name).float() for name in file.keys()},  # noqa: SIM118
            strict=False,  # counts of batches were not kept
        )
    return Identity(network.eval(), heads, calibration["slope"], calibration["even"])
