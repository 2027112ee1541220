"""Which network makes a picture larger, and how long that takes on a CPU. No torch: the service
asks it, too."""

from __future__ import annotations

from typing import Literal

Name = Literal["realesrgan-x4plus", "realesr-animevideov3"]
BEST: Name = "realesrgan-x4plus"
FAST: Name = "realesr-animevideov3"
# pixels of a small picture, up to which BEST is used on a CPU, where a thousand take it half a
# second: while other pictures wait for the device, and where none does
PATIENCE, APART = 256 * 256, 1024 * 1024
# that a pixel of the small picture takes on a CPU
SECONDS: dict[Name, float] = {BEST: 5e-4, FAST: 2.5e-5}


def network_for(width: int, height: int, device: str, *, apart: bool) -> Name:
    """What enlarges a picture of that many pixels; `apart` where it keeps no drawing waiting.

    BEST is better on photographs and drawings alike, but takes minutes on a CPU: what is larger
    than there is patience for is left to FAST.
    """
    most = APART if apart else PATIENCE
    return BEST if device != "cpu" or width * height <= most else FAST


def seconds(width: int, height: int) -> float:
    """What a CPU takes to enlarge a picture of that many pixels, by whatever factor, where it keeps
    no drawing waiting."""
    return width * height * SECONDS[network_for(width, height, "cpu", apart=True)]
