"""Which network makes a picture larger, and how long that takes on a CPU. No torch: the service
asks it, too."""

from __future__ import annotations

from typing import Literal

Name = Literal["realesrgan-x4plus", "realesr-animevideov3"]
BEST: Name = "realesrgan-x4plus"
FAST: Name = "realesr-animevideov3"
# pixels of a small picture: beyond, BEST takes minutes on a CPU, half a second for a thousand
PATIENCE = 256 * 256
# seconds for a pixel of the small picture, on two cores (docs/measurements.md)
SECONDS: dict[Name, float] = {BEST: 5e-4, FAST: 2.5e-5}


def network_for(width: int, height: int, device: str, *, whatever_it_takes: bool = False) -> Name:
    """What enlarges a picture of that many pixels.

    BEST is better on photographs and drawings alike, but on a CPU takes half a second for a
    thousand pixels: there what is larger than PATIENCE is left to FAST.
    """
    patient = device != "cpu" or width * height <= PATIENCE
    return BEST if patient or whatever_it_takes else FAST


def seconds(width: int, height: int) -> float:
    """What a CPU takes to enlarge a picture of that many pixels, by whatever factor."""
    return width * height * SECONDS[network_for(width, height, "cpu")]
