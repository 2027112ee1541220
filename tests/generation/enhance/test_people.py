from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from fluxbooth.generation.enhance import faces
from fluxbooth.generation.enhance.people import Somebody, draw_people
from fluxbooth.generation.enhance.redraw import Redraw
from pretrain.renders import Pair
from tests.generation.enhance.conftest import PLACE, TEXT
from tests.generation.enhance.test_faces import far


@pytest.fixture
def scene() -> tuple[Image.Image, list[tuple[float, float, float, float]]]:
    pair = Pair(far(0, 1), far(3, 1))
    return pair.draw(352, 192, random.Random(0)), pair.heads(352, 192)


def test_heads_are_drawn_by_their_own_people_from_left_to_right(
    redraw: Redraw,
    scene: tuple[Image.Image, list[tuple[float, float, float, float]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture, boxes = scene
    seen: list[object] = []

    def draw_head(
        image: Image.Image, by: Redraw, box: object, *_: object, **told: object
    ) -> object:
        seen.append((box, told["text"], told["seed"]))
        return image

    monkeypatch.setattr(faces, "draw_head", draw_head)
    two = [Somebody(redraw, TEXT), Somebody(redraw, PLACE)]
    background_head = (150.0, 20.0, 160.0, 32.0)
    draw_people(picture, two, [*reversed(boxes), background_head], seed=7)
    assert seen == [(boxes[0], TEXT, 7), (boxes[1], PLACE, 8)]
    seen.clear()
    draw_people(picture, two, boxes[:1], seed=7)
    assert seen == [(boxes[0], TEXT, 7)]


def test_what_is_between_people_stays(
    redraw: Redraw, scene: tuple[Image.Image, list[tuple[float, float, float, float]]]
) -> None:
    picture, boxes = scene
    drawn = draw_people(picture, [Somebody(redraw, TEXT)] * 2, boxes, seed=7)
    changed = (np.asarray(drawn) != np.asarray(picture)).any(2)
    for left, top, right, bottom in boxes:
        assert changed[round(top) : round(bottom), round(left) : round(right)].mean() > 0.9
    middle = round((boxes[0][2] + boxes[1][0]) / 2)
    assert not changed[:, middle - 1 : middle + 1].any()
