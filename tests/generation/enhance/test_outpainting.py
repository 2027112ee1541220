from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from fluxbooth import InputError
from fluxbooth.generation.enhance import outpainting
from fluxbooth.generation.enhance.outpainting import canvas, outpaint
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.prompts.options import ANCHORS
from tests.generation.enhance.conftest import PLACE


@pytest.mark.parametrize("anchor", ANCHORS)
def test_a_picture_sits_at_its_anchor(anchor: str) -> None:
    whole, (left, top, right, bottom) = canvas((100, 60), anchor, 200, 100)
    assert whole == (200, 100)
    assert (right - left, bottom - top) == (100, 60)
    words = anchor.split("-")
    assert left == (0 if "left" in words else 100 if "right" in words else 50)
    assert top == (0 if "top" in words else 40 if "bottom" in words else 20)


def test_a_missing_side_is_as_the_other() -> None:
    assert canvas((100, 60), "center", 200, None)[0] == (200, 200)
    assert canvas((100, 60), "center", None, 160)[0] == (160, 160)


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (64, 200, "adds nothing"),
        (100, 60, "adds nothing"),
        (None, None, "adds nothing"),
        (4096, 2048, "more than can be drawn"),
    ],
)
def test_a_canvas_that_will_not_do_is_refused(
    width: int | None, height: int | None, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        canvas((100, 60), "center", width, height)


@pytest.mark.parametrize(
    ("anchor", "width", "height"), [("left-center", 152, 128), ("bottom-right", 250, 200)]
)
def test_old_pixels_stay_and_new_ones_meet_them(
    redraw: Redraw, drawn: Image.Image, anchor: str, width: int, height: int
) -> None:
    larger = outpaint(drawn, redraw, anchor=anchor, width=width, height=height, seed=1, text=PLACE)
    assert larger.size == (width, height)
    _, (left, top, right, bottom) = canvas(drawn.size, anchor, width, height)
    assert np.array_equal(np.asarray(larger.crop((left, top, right, bottom))), np.asarray(drawn))
    pixels = np.asarray(larger).astype(int)
    edge = right if left == 0 else left
    steps = np.abs(np.diff(pixels[top:bottom], axis=1)).mean((0, 2))
    assert steps[edge - 1] < 2 * np.sort(steps)[-20:].mean()  # as where things end in the picture
    assert pixels[:, :left].std() > 5 if left else pixels[:, right:].std() > 5


class Seeing(Redraw):
    """Keeps the masks that it is asked for."""

    masks: ClassVar[list[Image.Image]] = []

    def drawn(self, image: Image.Image, **settings: Any) -> Image.Image:
        self.masks.append(settings["mask"])
        return image


def test_tokens_begin_at_the_old_edge(redraw: Redraw, drawn: Image.Image) -> None:
    """12 pixels to its left: a token of 16 would show old and new."""
    fields = {field.name: getattr(redraw, field.name) for field in dataclasses.fields(redraw)}
    outpaint(drawn, Seeing(**fields), anchor="center", width=152, height=128, seed=1)
    assert Seeing.masks[-1].point(lambda value: 0 if value else 255).getbbox() == (16, 0, 144, 128)


def test_lines_go_on_straight_and_soften() -> None:
    picture = Image.new("RGB", (32, 32), "white")
    picture.paste("black", (0, 16, 32, 32))
    start = outpainting._continued(picture, (96, 32), (0, 0, 32, 32))
    pixels = np.asarray(start.convert("L")).astype(float)
    near, far = pixels[:, 32:36].mean(1), pixels[:, 80:].mean(1)
    assert np.abs(np.diff(near)).argmax() == 15 and np.ptp(near) > 200
    assert near[12] > far[12] + 5 and near[19] < far[19] - 5  # over more pixels further away
    assert np.array_equal(np.asarray(start)[:, :32], np.asarray(picture))


PLACED = (0, 0, 64, 64)


def joined(picture: Image.Image, drawn: Image.Image) -> np.ndarray:
    return np.asarray(outpainting._joined(picture, drawn, PLACED))[32, :, 0].astype(int)


def test_a_base_that_draws_all_lighter_is_put_right() -> None:
    row = joined(Image.new("RGB", (64, 64), (100,) * 3), Image.new("RGB", (192, 64), (110,) * 3))
    assert (row == 100).all()


def test_a_step_of_tone_at_the_old_edge_is_taken_away() -> None:
    """The base drew the old part as it is, and the new one six lighter."""
    drawn = Image.new("RGB", (192, 64), (106,) * 3)
    drawn.paste((100,) * 3, PLACED)
    row = joined(Image.new("RGB", (64, 64), (100,) * 3), drawn)
    assert np.abs(np.diff(row)).max() <= 1 and row[66] <= 102


def test_a_thing_that_ends_at_the_old_edge_still_does() -> None:
    drawn = Image.new("RGB", (192, 64), (200,) * 3)
    drawn.paste((100,) * 3, PLACED)
    row = joined(Image.new("RGB", (64, 64), (100,) * 3), drawn)
    assert row[63] == 100 and (row[64:] == 200).all()


def test_odd_last_pixels_are_not_drawn_out_into_lines() -> None:
    """One bright pixel at the edge, and a last column a little darker: both are gone soon."""
    picture = Image.new("RGB", (64, 64), (100,) * 3)
    picture.paste((96,) * 3, (63, 0, 64, 64))
    picture.putpixel((63, 32), (200,) * 3)
    row = joined(picture, Image.new("RGB", (192, 64), (100,) * 3))
    assert np.abs(row[84:] - 100).max() <= 1
