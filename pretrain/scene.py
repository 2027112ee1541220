"""A flat picture of 512 x 384 units, drawn four times finer than it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT, FINER = 512, 384, 4
Colour = str
Point = tuple[float, float]


class Scene:
    """A picture of 512 x 384 units. Shapes take colours as `#rrggbb`, soft ones a blur in units."""

    def __init__(self, top: Colour, bottom: Colour) -> None:
        size = (WIDTH * FINER, HEIGHT * FINER)
        ramp = Image.linear_gradient("L").resize(size)
        self.image = Image.composite(
            Image.new("RGB", size, bottom), Image.new("RGB", size, top), ramp
        )

    def _put(
        self,
        draw: Callable[[ImageDraw.ImageDraw], None],
        colour: Colour,
        blur: float,
        opacity: float,
    ) -> None:
        mask = Image.new("L", self.image.size)
        draw(ImageDraw.Draw(mask))
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * FINER))
        if opacity < 1:
            mask = mask.point(lambda value: value * opacity)
        self.image.paste(Image.new("RGB", self.image.size, colour), mask=mask)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: Colour,
        *,
        blur: float = 0,
        opacity: float = 1,
    ) -> None:
        box = [(x - rx) * FINER, (y - ry) * FINER, (x + rx) * FINER, (y + ry) * FINER]
        self._put(lambda draw: draw.ellipse(box, fill=255), colour, blur, opacity)

    def shape(
        self, points: Sequence[Point], colour: Colour, *, blur: float = 0, opacity: float = 1
    ) -> None:
        finer = [(x * FINER, y * FINER) for x, y in points]
        self._put(lambda draw: draw.polygon(finer, fill=255), colour, blur, opacity)

    def box(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        colour: Colour,
        *,
        round: float = 0,
        blur: float = 0,
        opacity: float = 1,
    ) -> None:
        box = [x * FINER, y * FINER, (x + w) * FINER, (y + h) * FINER]
        self._put(
            lambda draw: draw.rounded_rectangle(box, round * FINER, fill=255), colour, blur, opacity
        )

    def line(
        self,
        points: Sequence[Point],
        width: float,
        colour: Colour,
        *,
        blur: float = 0,
        opacity: float = 1,
    ) -> None:
        finer = [(x * FINER, y * FINER) for x, y in points]
        self._put(
            lambda draw: draw.line(finer, fill=255, width=int(width * FINER), joint="curve"),
            colour,
            blur,
            opacity,
        )

    def arc(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        start: float,
        end: float,
        width: float,
        colour: Colour,
    ) -> None:
        box = [(x - rx) * FINER, (y - ry) * FINER, (x + rx) * FINER, (y + ry) * FINER]
        self._put(
            lambda draw: draw.arc(box, start, end, fill=255, width=int(width * FINER)), colour, 0, 1
        )

    def save(self, path: Path) -> None:
        self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).save(
            path, quality=82, method=6
        )
