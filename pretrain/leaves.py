"""Dead leaves: discs of every size that hide one another, rough as bark or smooth as sky, with the
statistics of photographs.

(Lee, Mumford and Huang, "Occlusion models for natural images", 2001.) No licence is asked for; an
autoencoder that was trained on them keeps the texture of photographs that it has not seen.
"""

from __future__ import annotations

import numpy as np

SMALLEST, DISCS = 3.0, 120


def picture(side: int, rng: np.random.Generator) -> np.ndarray:
    """uint8, side x side x 3."""
    y, x = np.mgrid[:side, :side]
    rough = np.stack([_pink(side, rng) for _ in range(4)])
    pixels = np.empty((side, side, 3))
    pixels[:] = _colour(rng)
    # radii r with a density of 1 / r^3, as of equal things at every distance: the largest fills the
    # picture
    radii = np.minimum(SMALLEST / np.sqrt(rng.random(DISCS) + 1e-4), side)
    for radius in radii:
        cx, cy = rng.uniform(-0.1 * side, 1.1 * side, 2)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
        slope = rng.normal(0, 12, 2)  # light falls off across a leaf
        shade = slope[0] * (x[inside] - cx) / radius + slope[1] * (y[inside] - cy) / radius
        texture = rng.exponential(14) * rough[rng.integers(4)][inside]
        pixels[inside] = _colour(rng) + (shade + texture)[:, None]
    return pixels.clip(0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """A brightness, and a little of a hue: photographs are seldom gaudy."""
    return rng.uniform(10, 245) + rng.normal(0, 20, 3)


def _pink(side: int, rng: np.random.Generator) -> np.ndarray:
    """Noise whose amplitude falls with frequency as in photographs, 1 / f; of deviation 1."""
    f = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    f[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) / f, (side, side))
    return noise / noise.std()
