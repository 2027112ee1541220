"""Colour grading after three films, and film grain: in linear light, repeatable by seed.

A film is two things here. Its layers see colours that are not theirs, and one that develops hinders
the others: nine numbers whose rows add up to one, so that grey stays grey. Less than nothing from
another layer makes colours purer and turns hues, more makes them paler. And each layer has a curve
of exposure against brightness: a toe, a straight part as steep as the film's contrast, and a
shoulder. Black, white and the order of greys are kept. Halation, vignettes and scratches are left
out: they belong to cameras and age.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from PIL import Image

GREY = 0.18  # the share of light that a grey card gives back, in the middle of every curve
LUMINANCE = np.array((0.2126, 0.7152, 0.0722), np.float32)  # of linear sRGB
STRIP = 256  # rows at once, which bounds what a large picture takes in memory
# Grain: so many clumps of dye fit beside one another along the longer side, as along the 36 mm of a
# fast film, but none is finer than a pixel, so that a small picture has grain, too.
CLUMPS = 1500
DENSITY = 0.024  # the noise where light is let through a tenth, in decades of it
COMMON = 0.75  # of the noise's variance is the same in all three layers, the rest is colour


@dataclass(frozen=True)
class Film:
    """How a film turns light into colour; see the file.

    Attributes:
        layers: What the red, green and blue layers take of red, green and blue light.
        contrast: Steepness of the toe, of logarithm against logarithm; 1 and `grey` 0.18 leave
            light as it is.
        grey: What becomes of a grey card in red, green and blue, which colours the middle tones
            alone.
        black: Light that black gives back.
    """

    layers: tuple[tuple[float, float, float], ...]
    contrast: float
    grey: tuple[float, float, float]
    black: float = 0.0


# Our numbers, after what makers publish of the films (slope of the curves, saturation, use).
FILMS: dict[str, Film] = {
    # a slide film: steep, deep shadows; greens and blues purer than life, reds towards magenta
    "Film Velvia": Film(
        ((1.34, -0.24, -0.10), (-0.17, 1.30, -0.13), (-0.03, -0.18, 1.21)),
        1.5,
        (0.172, 0.168, 0.172),
    ),
    # a portrait film: flat, light skin, pale colours; greens towards yellow, middle tones warm
    "Film Portra": Film(
        ((1.01, 0.01, -0.02), (0.03, 0.95, 0.02), (0.00, 0.08, 0.92)),
        1.0,
        (0.240, 0.219, 0.194),
        0.004,
    ),
    # a fine negative film for landscapes: crisp, strong reds and blues, greens left alone, cool
    "Ektar": Film(
        ((1.34, -0.30, -0.04), (-0.10, 1.16, -0.06), (-0.03, -0.16, 1.19)),
        1.3,
        (0.170, 0.175, 0.184),
    ),
}


def grade(image: Image.Image, film: str, seed: int) -> Image.Image:
    """The picture as if taken on one of FILMS.

    RGB or RGBA of any size, 8 bits a channel; the alpha stays as it is. `seed` decides how values
    between two of the 256 steps are rounded, so that no bands appear.
    """
    random = np.random.default_rng(seed)
    pixels = np.array(image)
    for top in range(0, len(pixels), STRIP):
        strip = pixels[top : top + STRIP, :, :3]
        strip[:] = _to_bytes(developed(_LIGHT_OF_CODE[strip], FILMS[film]), random)
    return Image.fromarray(pixels, image.mode)


def grain(image: Image.Image, seed: int) -> Image.Image:
    """The picture with the grain of a fast colour film, which `seed` decides.

    RGB or RGBA of any size, 8 bits a channel; the alpha stays as it is. Grain is noise of the
    film's density, as the square root of it: none in white, little in black, most in between.
    """
    random = np.random.default_rng(seed)
    pixels = np.array(image)
    height, width = pixels.shape[:2]
    size = max(width, height) / CLUMPS  # pixels a clump
    common = _noise(random, height, width, size)
    for channel in range(3):
        noise = COMMON**0.5 * common
        noise += (1 - COMMON) ** 0.5 * _noise(random, height, width, size)
        plane = pixels[:, :, channel]
        for top in range(0, height, STRIP):
            strip = plane[top : top + STRIP]
            light = _LIGHT_OF_CODE[strip]
            density = -np.log10(np.maximum(light, 1e-3))
            light = light * 10 ** (-DENSITY * np.sqrt(density) * noise[top : top + STRIP])
            strip[:] = _to_bytes(light, random)
    return Image.fromarray(pixels, image.mode)


def developed(light: np.ndarray, film: Film) -> np.ndarray:
    """Linear light from 0 to 1, colours along the last axis, through a film; the same range."""
    seen = light @ np.array(film.layers, np.float32).T
    # what is purer than the screen can show is made paler, at the same brightness
    bright, least = seen @ LUMINANCE, seen.min(axis=-1)
    pure = np.where(least < 0, bright / np.maximum(bright - least, 1e-6), 1.0)
    seen = bright[..., None] + pure[..., None] * (seen - bright[..., None])
    grey = np.array(film.grey, np.float32)
    toe = np.clip(seen, 0, 1) ** film.contrast
    # x^n (1 + k) / (x^n + k), which is 0 at 0 and 1 at 1; k is such that GREY becomes `grey`
    middle = GREY**film.contrast
    shoulder = middle * (1 - grey) / (grey - middle)
    curve = toe * (1 + shoulder) / (toe + shoulder)
    return film.black + (1 - film.black) * curve


def _noise(random: np.random.Generator, height: int, width: int, size: float) -> np.ndarray:
    """Normal noise of variance 1 whose grains are about `size` pixels wide, at least one."""
    spread = max(size - 1, 0.0) / 2
    reach = round(3 * spread)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(spread, 1e-6)) ** 2)
    bell /= (bell**2).sum() ** 0.5  # noise that is summed up so keeps its variance
    bell = bell.astype(np.float32)
    noise = random.standard_normal((height + 2 * reach, width + 2 * reach), np.float32)
    noise = reduce(np.add, (w * noise[i : i + height] for i, w in enumerate(bell)))
    return reduce(np.add, (w * noise[:, i : i + width] for i, w in enumerate(bell)))


def _to_bytes(light: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Linear light as 8-bit sRGB. What lies between two steps is rounded up as often as it is
    near the upper one."""
    code = _CODE_OF_LIGHT[(np.clip(light, 0, 1) * 65535 + 0.5).astype(np.uint16)]
    return np.floor(code + 0.001 + 0.998 * random.random(code.shape, np.float32))


def _light_of_code() -> np.ndarray:
    code = np.arange(256) / 255
    light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _code_of_light() -> np.ndarray:
    light = np.arange(65536) / 65535
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return (255 * code).astype(np.float32)


# the curve of sRGB: light from 0 to 1 of each of the 256 steps, and steps of each of 65536 of light
_LIGHT_OF_CODE, _CODE_OF_LIGHT = _light_of_code(), _code_of_light()
