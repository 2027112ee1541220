"""What is wrong with a photo, as told by its pixels: blur, light, damage by JPEG, flatness.

Each measure has one number and one limit; `bench/photo_faults.py` measures how often they are right
on photographs and on copies of them that were spoilt. Nothing here knows torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fluxbooth.photos.decoder import within

BLURRED = 0.58  # sharpness below this is called blurred
DARK = 65.0  # of 255: the tenth brightest of the middle is darker than this
BURNT = 0.25  # share of the middle that has two full channels
BLOCKY = 1.55  # steps at the edges of JPEG's blocks, by those within them
FLAT = 5.0  # of 255: the deviation of a picture that shows next to nothing
FULL = 253  # of 255
MIDDLE = 0.2  # of each side that does not count as the middle


@dataclass(frozen=True)
class Fault:
    """`code` is for programs, `advice` for people."""

    code: str
    advice: str
    found: Callable[[np.ndarray], bool]  # in uint8 H x W x 3 pixels


def of(pixels: np.ndarray) -> list[Fault]:
    """What is wrong with uint8 H x W x 3 `pixels`. A picture of one colour has no other fault."""
    if FAULTS[0].found(pixels):
        return [FAULTS[0]]
    return [fault for fault in FAULTS if fault.found(pixels)]


def sharpness(pixels: np.ndarray) -> float:
    """How steeply the strongest edges of uint8 H x W x 3 `pixels` change: about 1 is crisp, below
    BLURRED is blurred.

    The grey picture is reduced to the area of 512 x 512, so that the measure hardly depends on the
    resolution, and lightly smoothed against noise. The strongest twentieth of its Laplacian is
    divided by that of its gradient: contrast cancels out, and flat areas (cartoons, a background
    out of focus) do not count. For one edge blurred by a Gaussian of s pixels the quotient is near
    0.6 / s. Heavy noise on a blurred picture hides the blur.
    """
    grey = Image.fromarray(pixels).convert("L")
    width, height = (max(8, side) for side in within(grey.width, grey.height, 512 * 512))
    g = np.asarray(
        grey.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0), dtype=np.float32
    )
    g = (g[:-2] + 2 * g[1:-1] + g[2:]) / 4
    g = (g[:, :-2] + 2 * g[:, 1:-1] + g[:, 2:]) / 4
    gradient = np.hypot(np.diff(g, axis=1)[:-1], np.diff(g, axis=0)[:, :-1])
    laplacian = np.diff(g, 2, axis=1)[1:-1] + np.diff(g, 2, axis=0)[:, 1:-1]
    steepest = _strongest(gradient)
    return _strongest(laplacian) / steepest if steepest else 0.0


def _strongest(values: np.ndarray) -> float:
    """Root mean square of the largest twentieth."""
    squares = np.sort(values**2, axis=None)
    return float(np.sqrt(squares[-max(1, squares.size // 20) :].mean()))


def brightness(pixels: np.ndarray) -> float:
    """0 to 255: what nine tenths of the middle of a picture stay below."""
    return float(np.percentile(_grey(_middle(pixels)), 90))


def burnt(pixels: np.ndarray) -> float:
    """Share of the middle where two channels are full; a white background is not in the middle,
    and a bright colour has one."""
    return float((np.sort(_middle(pixels)[:, :, :3], axis=2)[:, :, 1] >= FULL).mean())


def blockiness(pixels: np.ndarray) -> float:
    """How much larger the steps at every eighth pixel are than those between: 1 without JPEG,
    more the lower its quality. Of a picture that was made smaller since, it tells nothing."""
    grey = _grey(pixels)
    return min(_at_eighths(grey), _at_eighths(grey.T))


def _at_eighths(grey: np.ndarray) -> float:
    # second differences: a slope is no step
    steps = np.abs(np.diff(grey, 2, axis=1)).mean(0)
    steps = steps[: len(steps) // 8 * 8].reshape(-1, 8).mean(0)
    if len(grey) < 16 or not steps.size or not np.median(steps):
        return 1.0
    # both second differences beside a step see it
    pairs = (steps + np.roll(steps, -1)) / 2
    return float(pairs.max() / np.median(steps))


def deviation(pixels: np.ndarray) -> float:
    return float(_grey(pixels).std())


def _grey(pixels: np.ndarray) -> np.ndarray:
    return pixels[:, :, :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def _middle(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    y, x = int(height * MIDDLE), int(width * MIDDLE)
    return pixels[y : height - y or None, x : width - x or None]


FAULTS = (
    Fault("flat", "shows next to nothing: remove it", lambda p: deviation(p) < FLAT),
    Fault("blurred", "blurred: use a sharper picture", lambda p: sharpness(p) < BLURRED),
    Fault("dark", "dark: use one with more light", lambda p: brightness(p) < DARK),
    Fault(
        "burnt",
        "overexposed: its bright parts have no detail left; use one with less light",
        lambda p: burnt(p) > BURNT,
    ),
    Fault(
        "jpeg",
        "damaged by strong JPEG compression: use the original file, not a copy from a messenger",
        lambda p: blockiness(p) > BLOCKY,
    ),
)
