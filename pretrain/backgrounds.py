"""What stands behind the people: plain colours and eight places, as SVG of any size.

Each place is a function of the frame and a random generator, which moves what captions do not name
(sun, trees, stars).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

PLAIN_BACKGROUNDS = {
    "red": "#D94A4A", "blue": "#65B5FF", "green": "#6CC784", "yellow": "#F8E07A", "pink": "#FFB3D1",
    "white": "#FAFAFA", "purple": "#B79AE8", "grey": "#B9BEC4", "orange": "#FFB56B", "black": "#16181C",
}  # fmt: skip
SCENES = {
    "beach": "at the beach", "forest": "in a forest", "city": "in a city at night",
    "mountains": "in snowy mountains", "desert": "in a desert", "space": "among the stars",
    "room": "in a living room", "sunset": "in front of a sunset",
}  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """The picture's width and height in pixels; shapes are placed in shares of them, but for
    lengths said to be pixels."""

    w: int
    h: int

    def rect(self, x: float, y: float, width: float, height: float, colour: str) -> str:
        return _rect(x * self.w, y * self.h, width * self.w, height * self.h, colour)

    def band(self, top: float, colour: str, height: float = 1.0) -> str:
        return self.rect(0, top, 1, height, colour)

    def circle(self, x: float, y: float, radius: float, colour: str) -> str:
        """Radius in shares of the height."""
        return _circle(x * self.w, y * self.h, radius * self.h, colour)

    def triangle(self, x: float, y: float, half: float, height: float, colour: str) -> str:
        """Its foot is at y, `half` to both sides of x."""
        left = (x - half) * self.w
        top = (y - height) * self.h
        right = (x + half) * self.w
        foot = y * self.h
        return f'<path d="M{left:.1f} {foot:.1f} L{x * self.w:.1f} {top:.1f} L{right:.1f} {foot:.1f} Z" fill="{colour}"/>'


def background(name: str, width: int, height: int, rng: random.Random) -> str:
    """SVG elements that fill the frame: a colour of PLAIN_BACKGROUNDS or a place of SCENES."""
    frame = Frame(width, height)
    if name in PLAIN_BACKGROUNDS:
        return frame.band(0, PLAIN_BACKGROUNDS[name])
    return _DRAW[name](frame, rng)


def _rect(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _circle(x: float, y: float, radius: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}"/>'


def _beach(f: Frame, rng: random.Random) -> str:
    sun = f.circle(rng.uniform(0.1, 0.9), 0.14, 0.07, "#FFE36B")
    return f.band(0, "#8FD3FF") + sun + f.band(0.5, "#2C8FD6", 0.22) + f.band(0.7, "#F2D9A0", 0.3)


def _forest(f: Frame, rng: random.Random) -> str:
    places = (
        rng.uniform(0.0, 0.15),
        rng.uniform(0.22, 0.35),
        rng.uniform(0.65, 0.78),
        rng.uniform(0.85, 1.0),
    )
    trees = [
        f.rect(x - 0.02, 0.6, 0.04, 0.2, "#6B4426") + f.triangle(x, 0.66, 0.12, 0.5, "#1E7A3C")
        for x in places
    ]
    return f.band(0, "#BFE8D0") + f.band(0.75, "#4E9A4E", 0.25) + "".join(trees)


def _city(f: Frame, rng: random.Random) -> str:
    houses = ""
    for i in range(6):
        left, top = i * f.w / 6, rng.uniform(0.2, 0.5)
        windows = [
            (left + 3 + 7 * (k % 2), (top + 0.05 + 0.09 * (k // 2)) * f.h)
            for k in range(8)
            if rng.random() < 0.7
        ]
        houses += _rect(left, top * f.h, f.w / 6 - 1, f.h, "#2B2F4A") + "".join(
            _rect(x, y, 4, 4, "#FFD75E") for x, y in windows
        )
    return f.band(0, "#12142B") + houses


def _mountains(f: Frame, rng: random.Random) -> str:
    places = (rng.uniform(0.1, 0.25), rng.uniform(0.75, 0.9))
    peaks = [
        f.triangle(x, 0.8, 0.34, 0.6, "#6E8299") + f.triangle(x, 0.4, 0.115, 0.2, "#FFFFFF")
        for x in places
    ]
    return f.band(0, "#C6E2F5") + "".join(peaks) + f.band(0.78, "#F4F8FB", 0.22)


def _desert(f: Frame, rng: random.Random) -> str:
    # the cactus' width is in pixels: it stays slender in wide frames
    x = rng.choice((0.12, 0.88)) * f.w
    trunk = _rect(x - 3, 0.35 * f.h, 7, 0.4 * f.h, "#2E8B57")
    branch = _rect(x - 10, 0.45 * f.h, 8, 4, "#2E8B57")
    cactus = trunk + branch + _rect(x - 10, 0.38 * f.h, 4, 0.09 * f.h, "#2E8B57")
    sun = f.circle(0.5 + rng.uniform(-0.3, 0.3), 0.12, 0.08, "#FFB347")
    return f.band(0, "#FFE3B0") + sun + f.band(0.62, "#D99A4E", 0.38) + cactus


def _space(f: Frame, rng: random.Random) -> str:
    stars = [
        _circle(rng.random() * f.w, rng.random() * f.h, rng.uniform(0.5, 1.6), "#FFFFFF")
        for _ in range(45)
    ]
    return (
        f.band(0, "#0B0B2A")
        + "".join(stars)
        + f.circle(rng.choice((0.14, 0.86)), 0.18, 0.1, "#C58BE8")
    )


def _room(f: Frame, rng: random.Random) -> str:
    window = f.rect(0.06, 0.1, 0.24, 0.32, "#FFFFFF") + f.rect(0.08, 0.12, 0.2, 0.28, "#9ED3F2")
    return (
        f.band(0, "#EAD8C0")
        + window
        + f.rect(0.72, 0.12, 0.2, 0.2, "#B0563B")
        + f.band(0.72, "#9C6B45", 0.28)
    )


def _sunset(f: Frame, rng: random.Random) -> str:
    colours = ("#5B3A8C", "#B0478A", "#F0685A", "#FFA04D", "#FFD166")
    bands = [_rect(0, i * f.h / 6, f.w, f.h / 6 + 1, colour) for i, colour in enumerate(colours)]
    return (
        "".join(bands)
        + f.band(5 / 6, "#3A2A4F")
        + f.circle(rng.uniform(0.2, 0.8), 0.62, 0.11, "#FFF1B8")
    )


_DRAW: dict[str, Callable[[Frame, random.Random], str]] = {
    "beach": _beach, "forest": _forest, "city": _city, "mountains": _mountains,
    "desert": _desert, "space": _space, "room": _room, "sunset": _sunset,
}  # fmt: skip
