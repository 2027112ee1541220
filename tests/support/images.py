from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def opened(path: Path | str) -> Image.Image:
    """The picture of a file that is closed again, also if nothing but its head is asked for."""
    with Image.open(path) as image:
        image.load()
    return image


def skin_coloured() -> Image.Image:
    """Round shapes that a network takes for what it was taught to find, with no body in them."""
    random, (y, x) = np.random.default_rng(45), np.mgrid[0:256, 0:256] / 256
    picture = np.ones((256, 256, 3)) * (0.9, 0.88, 0.85)
    for _ in range(2):
        (left, top), (wide, high) = random.uniform(0.2, 0.8, 2), random.uniform(0.1, 0.35, 2)
        inside = np.exp(-((((x - left) / wide) ** 2 + ((y - top) / high) ** 2) ** 2))[..., None]
        lit = np.exp(-(((x - left) / wide + 0.1) ** 2 + ((y - top) / high + 0.1) ** 2))[..., None]
        picture = picture * (1 - inside) + inside * (0.87, 0.66, 0.54) * (0.75 + 0.25 * lit)
    return Image.fromarray((picture * 255).clip(0, 255).astype(np.uint8))
