"""What each pixel of a picture in nano's drawing styles shows, by a small U-Net (Ronneberger et al.
2015, arXiv:1505.04597)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from fluxbooth.prompts.mask_words import PARTS

AREA = 128**2  # pixels that it looks at
STRIDE = 16
WIDTHS, FINE = (16, 32, 64, 128), 12


class Segmenter(nn.Module):
    """float n x 3 x H x W in -1..1, sides multiples of STRIDE, to logits n x PARTS x H x W."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [_block(inputs, width, 2) for inputs, width in itertools.pairwise((3, *WIDTHS))]
        )
        self.across = _block(WIDTHS[-1], WIDTHS[-1])
        self.narrow = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in itertools.pairwise(WIDTHS)])
        self.up = nn.ModuleList(
            [nn.Sequential(*_convolution(width, width)) for width in WIDTHS[:-1]]
        )
        self.last = nn.Conv2d(WIDTHS[0], FINE - 3, 1)
        self.fine = nn.Sequential(*_convolution(FINE, FINE), nn.Conv2d(FINE, len(PARTS), 1))

    def forward(self, pixels: Tensor) -> Tensor:
        kept, x = [], pixels
        for stage in self.down:
            x = stage(x)
            kept.append(x)
        x = x + self.across(x)
        for i in reversed(range(len(self.up))):
            x = self.up[i](_doubled(self.narrow[i](x)) + kept[i])
        return self.fine(torch.cat([_doubled(self.last(x)), pixels], 1))

    @torch.no_grad()
    def segment(self, image: Image.Image) -> np.ndarray:
        """The probability of each part, float32 H x W x PARTS, in about AREA pixels whatever the
        picture's own size."""
        scale = (AREA / (image.width * image.height)) ** 0.5
        width, height = (max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in image.size)
        seen = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
        pixels = torch.tensor(np.asarray(seen)).permute(2, 0, 1)[None].float() / 127.5 - 1
        return self(pixels)[0].softmax(0).permute(1, 2, 0).numpy()


def _block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_convolution(inputs, outputs, stride), *_convolution(outputs, outputs))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    ]


def _doubled(grid: Tensor) -> Tensor:
    return F.interpolate(grid, scale_factor=2.0, mode="bilinear")


def load_segmenter(path: Path) -> Segmenter:
    segmenter = Segmenter()
    tensors = load_file(path)
    segmenter.load_state_dict({name: value.float() for name, value in tensors.items()})
    return segmenter.eval()
