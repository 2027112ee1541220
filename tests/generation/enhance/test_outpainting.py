from __future__ import annotations

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


def test_what_the_base_drew_otherwise_fades_into_the_new_side() -> None:
    """A base that draws everything ten lighter: no step at the edge, and the new side is its own
    far from it."""
    picture = Image.new("RGB", (64, 64), (100, 100, 100))
    drawn = Image.new("RGB", (192, 64), (110, 110, 110))
    row = np.asarray(outpainting._joined(picture, drawn, (0, 0, 64, 64)))[32, :, 0].astype(int)
    assert (row[:64] == 100).all()
    assert row[64] == 100
    assert row[-1] >= 109
    assert (np.diff(row) >= 0).all()
