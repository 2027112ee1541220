"""A picture made larger by a network that knows what edges, hair and skin look like: Real-ESRGAN,
tile by tile, on CPU or GPU by the same code.

`super_resolution`, `only_upscale` and `resolution` are this with the network that `network_for`
says; `tiled_upscale` is this and then what `hires_fix` does. Without the extra `upscale` it is done
by Lanczos; who asked is told by which it was.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple, get_args

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from fluxbooth import threads
from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import progress, real_esrgan
from fluxbooth.models import enlarging
from fluxbooth.models.enlarging import BEST, Name

FACTORS = (2, 4)
NETWORKS = get_args(Name)
LANCZOS = "lanczos"
TILE = 256  # pixels of the small picture, a side: x4plus takes a gigabyte to work on one
OVERLAP = 48  # pixels of the small picture that two neighbouring tiles both show
SOFT = 16  # and in the middle of them, the width over which one becomes the other
LARGEST = 8192 * 8192  # pixels of a result


class Upscaled(NamedTuple):
    image: Image.Image
    method: str  # the name of the network, or LANCZOS


def upscale(
    image: Image.Image,
    factor: float,
    *,
    network: Name = BEST,
    tile: int = TILE,
    device: str = "cpu",
    tell: progress.Tell = progress.silent,
) -> Upscaled:
    """The picture with its sides `factor` times as long, 8 bits a channel, always the same for
    the same picture and device.

    The networks know the factor 4. For 2 each square of four pixels becomes one; for any other
    the next larger of the two is reduced by Lanczos. Transparency is enlarged by Lanczos beside
    the colours.

    Args:
        image: Of any mode and size; the result is RGB, or RGBA where that has transparency.
        factor: 1 to 4; even by 1 a network makes a picture cleaner.
        network: Which; FAST takes a twentieth of the time.
        tile: Sides of the parts that are worked on one by one, in pixels of `image`: over OVERLAP.
            What is further away than half an OVERLAP moves few pixels, and little.
        device: As torch names it.
        tell: Called with the number of tiles that are done, and of all.

    Raises:
        InputError: For a factor out of range, or a result of over LARGEST pixels.
    """
    if not 1 <= factor <= FACTORS[-1]:
        raise InputError(f"A picture cannot be enlarged {factor:g} times: use 1 to 4.")
    width, height = round(image.width * factor), round(image.height * factor)
    if width * height > LARGEST:
        raise InputError(
            f"{image.width} x {image.height} pixels enlarged {factor:g} times would be "
            f"{width} x {height}: use a smaller picture or factor, for up to "
            f"{LARGEST // 10**6} megapixels."
        )
    image, alpha = _without_alpha(image)
    here = real_esrgan.folder()
    if here is None:
        large, method = image, LANCZOS
    else:
        step = next(known for known in FACTORS if known >= factor)
        net = real_esrgan.load(network, here, device)
        with threads.free_cores():
            large, method = _by_network(image, step, net, tile, device, tell), network
    large = large.resize((width, height), Image.Resampling.LANCZOS)
    if alpha is not None:
        large.putalpha(alpha.resize(large.size, Image.Resampling.LANCZOS))
    return Upscaled(large, method)


def minutes(width: int, height: int, device: str) -> int:
    """About how long enlarging a picture of that many pixels takes where it keeps no drawing
    waiting, on one thread of a CPU; 0 for less than half a minute."""
    slow = device == "cpu" and real_esrgan.folder() is not None
    return round(enlarging.seconds(width, height) / 60) if slow else 0


def _without_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    if not image.has_transparency_data:
        return image.convert("RGB"), None
    image = image.convert("RGBA")
    return image.convert("RGB"), image.getchannel("A")


def _by_network(
    image: Image.Image,
    factor: int,
    network: nn.Module,
    tile: int,
    device: str,
    tell: progress.Tell,
) -> Image.Image:
    """Tiles are joined to rows, and rows to the picture."""
    small = np.asarray(image)
    large = np.empty((image.height * factor, image.width * factor, 3), np.uint8)
    down, across = _spans(image.height, tile), _spans(image.width, tile)
    done = itertools.count(1)
    for top, bottom in down:
        row = np.empty(((bottom - top) * factor, *large.shape[1:]), np.uint8)
        for left, right in across:
            threads.look()
            drawn = _draw(small[top:bottom, left:right], factor, network, device)
            _join(row.swapaxes(0, 1), drawn.swapaxes(0, 1), left * factor, factor)
            tell(next(done), len(down) * len(across))
        _join(large, row, top * factor, factor)
    return Image.fromarray(large)


@torch.inference_mode()
def _draw(pixels: np.ndarray, factor: int, network: nn.Module, device: str) -> np.ndarray:
    """uint8 height x width x 3, four times as large by the network, for factor 2 reduced again."""
    given = torch.from_numpy(pixels.copy()).to(device).permute(2, 0, 1)[None]
    drawn = network(given.float() / 255)
    if factor < real_esrgan.FACTOR:
        drawn = F.avg_pool2d(drawn, real_esrgan.FACTOR // factor)
    drawn = (drawn[0].clamp(0, 1) * 255).round().byte()
    return drawn.permute(1, 2, 0).cpu().numpy()


def _spans(length: int, tile: int) -> list[tuple[int, int]]:
    """Begin and end of as few parts as cover `length` pixels, all of one length, each with OVERLAP
    or a little more in common with the next."""
    count = max(1, math.ceil((length - OVERLAP) / (tile - OVERLAP)))
    each = math.ceil((length + (count - 1) * OVERLAP) / count)
    starts = [i * (length - each) // max(1, count - 1) for i in range(count)]
    return [(start, start + each) for start in starts]


def _join(whole: np.ndarray, part: np.ndarray, at: int, factor: int) -> None:
    """Puts `part` into `whole` from its pixel `at` along the first axis on; where `whole` has
    pixels already, one becomes the other in the middle of what both have."""
    if at == 0:
        whole[: len(part)] = part
        return
    soft = SOFT * factor
    begin = (OVERLAP * factor - soft) // 2
    share = ((np.arange(soft) + 0.5) / soft)[:, None, None]
    before, new = whole[at + begin : at + begin + soft], part[begin : begin + soft]
    whole[at + begin : at + begin + soft] = np.rint(before * (1 - share) + new * share)
    whole[at + begin + soft : at + len(part)] = part[begin + soft :]
