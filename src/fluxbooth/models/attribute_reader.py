"""What reads attributes off a picture of a base (hair, glasses, clothes, background ...): a small
convolutional network that was trained on the pictures that the base was trained on."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn

from fluxbooth.models import registry

AREA = 128**2  # pixels
READER = registry.BASES["nano"].reader
assert READER is not None
Reading = dict[str, str]  # attribute: value


class Reader(nn.Module):
    """float n x 3 x H x W in -1..1 to the logits of each attribute; any size near 128 x 128."""

    def __init__(self, attributes: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        self.attributes = {name: list(values) for name, values in attributes.items()}
        widths = (5, 32, 64, 128, 192)
        self.stages = nn.Sequential(*[convolutions(a, b) for a, b in itertools.pairwise(widths)])
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(2 * widths[-1], len(values))
                for name, values in self.attributes.items()
            }
        )

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        features = self.stages(with_places(pixels))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        return {name: head(pooled) for name, head in self.heads.items()}

    def read(self, images: Sequence[Image.Image]) -> list[Reading]:
        """The likeliest value of every attribute of each picture."""
        return [
            {name: self.attributes[name][int(row.argmax())] for name, row in self._look(image)}
            for image in images
        ]

    def read_surely(self, image: Image.Image, least: float) -> Reading:
        """The attributes of a picture whose likeliest value has at least this probability, 0 to
        1."""
        shares = {name: row.softmax(-1)[0].max(0) for name, row in self._look(image)}
        return {
            name: self.attributes[name][int(value)]
            for name, (share, value) in shares.items()
            if share >= least
        }

    @torch.no_grad()
    def _look(self, image: Image.Image) -> Iterable[tuple[str, Tensor]]:
        """The logits of each attribute, looked at in the area that the reader was trained on."""
        scale = AREA**0.5 / (image.width * image.height) ** 0.5
        size = round(image.width * scale), round(image.height * scale)
        seen = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        pixels = torch.tensor(np.asarray(seen)).permute(2, 0, 1)[None].float() / 127.5 - 1
        return self(pixels).items()


def with_places(grid: Tensor) -> Tensor:
    """n x C x H x W to n x (C + 2) x H x W: where things stand in the frame is asked too, and
    pooling would forget it."""
    n, _, height, width = grid.shape
    y = torch.linspace(-1, 1, height).view(1, 1, -1, 1).expand(n, 1, height, width)
    x = torch.linspace(-1, 1, width).view(1, 1, 1, -1).expand(n, 1, height, width)
    return torch.cat([grid, y, x], 1)


def convolutions(inputs: int, outputs: int) -> nn.Module:
    """Two, the first of which halves width and height."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def load_reader(path: Path = READER) -> Reader:
    with safe_open(path, "pt") as file:
        reader = Reader(json.loads(file.metadata()["attributes"]))
        reader.load_state_dict(
            {
                name: file.get_tensor(name).float()
                for name in file.keys()  # noqa: SIM118
                if "num_batches" not in name
            },
            strict=False,
        )
    return reader.eval()
