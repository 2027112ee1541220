"""Where the people of a photograph are, by MediaPipe's selfie segmentation: MobileNetV3 (Howard et
al. 2019, arXiv:1905.02244) with a decoder that weighs what it takes from each scale.

The weights are Google's, licensed Apache-2.0 (NOTICE), changed only in how they are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("selfie.safetensors")
SIDE = 256  # pixels of the square that it looks at


class Selfie(nn.Module):
    """float n x 3 x SIDE x SIDE in 0..1 to n x 1 x SIDE x SIDE: the chance of a person."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2)
        self.fourth = _Inverted(16, 16, 16, 3, 2, F.relu, 8)
        self.eighth = nn.Sequential(
            _Inverted(16, 72, 24, 3, 2, F.relu), _Inverted(24, 88, 24, 3, 1, F.relu)
        )
        self.sixteenth = nn.Sequential(
            _Inverted(24, 96, 32, 5, 2, F.hardswish, 24),
            _Inverted(32, 128, 32, 5, 1, F.hardswish, 32),
            _Inverted(32, 128, 32, 5, 1, F.hardswish, 32),
            _Inverted(32, 96, 32, 5, 1, F.hardswish, 24),
            _Inverted(32, 96, 32, 5, 1, F.hardswish, 24),
        )
        self.seen, self.weight = nn.Conv2d(32, 128, 1), nn.Conv2d(32, 128, 1)
        self.up = nn.ModuleList([_Up(128, 24), _Up(24, 16), _Up(16, 16)])
        self.last = nn.ConvTranspose2d(16, 1, 2, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        half = F.hardswish(self.stem(_padded(pixels, self.stem)))
        fourth = self.fourth(half)
        eighth = self.eighth(fourth)
        x = self.sixteenth(eighth)
        x = F.relu(self.seen(x)) * self.weight(_pooled(x)).sigmoid()
        for up, skip in zip(self.up, (eighth, fourth, half), strict=True):
            x = up(x, skip)
        return self.last(x).sigmoid()

    @torch.no_grad()
    def segment(self, image: Image.Image) -> np.ndarray:
        """How sure it is of a person at each of SIDE x SIDE places of the picture, float32."""
        seen = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        return self(torch.tensor(np.asarray(seen)).permute(2, 0, 1)[None] / 255)[0, 0].numpy()


class _Squeeze(nn.Module):
    """What share of each channel is let through, told by the mean of all."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(width, squeezed, 1), nn.Conv2d(squeezed, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(F.relu(self.down(_pooled(x)))).sigmoid()


class _Inverted(nn.Module):
    """The inverted residual block: widened, filtered in each channel, narrowed."""

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int,
        kernel: int,
        stride: int,
        activation: Callable[[Tensor], Tensor],
        squeezed: int | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.adds = activation, stride == 1
        self.widen = nn.Conv2d(inputs, width, 1)
        self.filter = nn.Conv2d(width, width, kernel, stride, groups=width)
        self.squeeze = _Squeeze(width, squeezed) if squeezed else None
        self.narrow = nn.Conv2d(width, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.activation(self.widen(x))
        wide = self.activation(self.filter(_padded(wide, self.filter)))
        if self.squeeze:
            wide = wide * self.squeeze(wide)
        return self.narrow(wide) + x if self.adds else self.narrow(wide)


class _Up(nn.Module):
    """Twice as fine, with what it takes of the encoder's `skip`."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.narrow, self.squeeze = nn.Conv2d(inputs, width, 1), _Squeeze(width, width)
        self.mix, self.filter = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 3, groups=width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        x = self.narrow(F.interpolate(x, scale_factor=2.0, mode="bilinear"))
        x = F.relu(self.mix(skip * self.squeeze(skip + x) + x))
        return x + F.relu(self.filter(_padded(x, self.filter)))


def _pooled(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True)


def _padded(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """With zeros as TensorFlow pads: what is odd of it below and on the right."""
    in_all = convolution.kernel_size[0] - convolution.stride[0]
    before, after = in_all // 2, in_all - in_all // 2
    return F.pad(x, (before, after, before, after))


def load_selfie() -> Selfie:
    selfie = Selfie()
    selfie.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return selfie.eval()
