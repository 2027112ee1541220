"""Pictures that went wrong whoever they show: black or of one colour, blurred, or left noisy."""

from __future__ import annotations

import numpy as np
from PIL import Image

from fluxbooth.photos import faults

NOISY = 0.1  # share of the finest detail of the whole variation, of noise that was never removed


def faults_of(picture: Image.Image) -> list[str]:
    """Any of "blank", "blurred", "noise"."""
    pixels = np.asarray(picture.convert("RGB"))
    if faults.deviation(pixels) < faults.FLAT:
        return ["blank"]
    found = []
    if faults.sharpness(pixels) < faults.BLURRED:
        found.append("blurred")
    if noise(pixels) > NOISY:
        found.append("noise")
    return found


def noise(pixels: np.ndarray) -> float:
    """Of uint8 H x W x 3: the median step between diagonal neighbours beyond what their own
    neighbours explain (Immerkaer 1996), by the deviation of the whole; edges are few, so the
    median sees none."""
    grey = pixels.astype(np.float32).mean(2)
    mask = grey[:-2, :-2] - 2 * grey[:-2, 1:-1] + grey[:-2, 2:]
    mask += -2 * grey[1:-1, :-2] + 4 * grey[1:-1, 1:-1] - 2 * grey[1:-1, 2:]
    mask += grey[2:, :-2] - 2 * grey[2:, 1:-1] + grey[2:, 2:]
    # of Gaussian noise of deviation s the median of |mask| is 6 x 0.6745 x s
    return float(np.median(np.abs(mask)) / (6 * 0.6745) / max(1.0, float(grey.std())))
