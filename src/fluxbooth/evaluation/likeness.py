"""Likeness of a picture to its subject, and to its prompt: figures for pictures in nano's drawing
styles.

A small convolutional network reads attributes off a picture (hair, glasses, clothes, background
...). The subject is what most of the training photos are read to be; a picture's similarity is the
share of identity attributes in which it agrees. Photographs of real people need a face model
instead, which this is not.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor, nn

from fluxbooth.models import registry
from fluxbooth.photos import inspection

IDENTITY = ("kind", "hair", "hair_colour", "skin", "glasses", "beard")
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
        self.stages = nn.Sequential(*[_stage(a, b) for a, b in itertools.pairwise(widths)])
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

    @torch.no_grad()
    def read(self, images: Sequence[Image.Image]) -> list[Reading]:
        """The likeliest value of every attribute of each picture, looked at in the area that
        the reader was trained on."""
        readings = []
        for image in images:
            scale = AREA**0.5 / (image.width * image.height) ** 0.5
            size = round(image.width * scale), round(image.height * scale)
            seen = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
            pixels = torch.tensor(np.asarray(seen)).permute(2, 0, 1)[None].float() / 127.5 - 1
            logits = self(pixels)
            readings.append(
                {name: self.attributes[name][int(row.argmax())] for name, row in logits.items()}
            )
        return readings


def with_places(grid: Tensor) -> Tensor:
    """n x C x H x W to n x (C + 2) x H x W: where things stand in the frame is asked too, and
    pooling would forget it."""
    n, _, height, width = grid.shape
    y = torch.linspace(-1, 1, height).view(1, 1, -1, 1).expand(n, 1, height, width)
    x = torch.linspace(-1, 1, width).view(1, 1, 1, -1).expand(n, 1, height, width)
    return torch.cat([grid, y, x], 1)


def _stage(inputs: int, outputs: int) -> nn.Module:
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


class Report(TypedDict):
    """How alike pictures are to a subject, each 0 to 1."""

    photos: float  # the photos themselves, to what most of them show
    samples: dict[str, list[float]]  # by step, in the order of their prompts


def report(photos: Sequence[str | Path], samples: Path, weights: Path) -> Report:
    """How alike the subject of `photos` a training's samples are.

    `samples` is the folder with its `step-STEP-NUMBER.png`, `weights` the reader of its base.
    """
    reader = load_reader(weights)
    readings = reader.read([Image.fromarray(photo.pixels) for photo in inspection.read(photos)])
    subject, by_step = identity_of(readings), dict[str, list[float]]()
    for path in sorted(samples.glob("step-*.png")):
        _, step, _ = path.stem.split("-")
        with Image.open(path) as picture:
            by_step.setdefault(str(int(step)), []).append(
                agreement(reader.read([picture]), [subject])
            )
    return {"photos": agreement(readings, [subject] * len(readings)), "samples": by_step}


def identity_of(readings: Sequence[Reading]) -> Reading:
    """What most of a subject's photos are read to be."""
    return {
        name: Counter(reading[name] for reading in readings).most_common(1)[0][0]
        for name in IDENTITY
    }


def agreement(readings: Sequence[Reading], wanted: Sequence[Mapping[str, str]]) -> float:
    """Share of the wanted attributes that the pictures show, 0 to 1; one row of wishes a
    picture."""
    hits = [
        reading[name] == value
        for reading, wish in zip(readings, wanted, strict=True)
        for name, value in wish.items()
    ]
    return sum(hits) / len(hits)
