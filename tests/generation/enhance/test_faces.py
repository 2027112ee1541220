from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fluxbooth import InputError
from fluxbooth.generation.enhance import faces, heads
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.models import registry
from fluxbooth.photos import faces as photographs
from pretrain.people import random_shot
from pretrain.renders import Pair, Portrait
from pretrain.subjects import held_out_people


def far(number: int, scale: float) -> Portrait:
    who = held_out_people()[number]
    shot = random_shot(random.Random(number), who.style)
    return Portrait(who, replace(shot, scale=scale, position="centre"))


def shared(a: heads.Box, b: heads.Box) -> float:
    common = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    return common / sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) * 2


@pytest.mark.parametrize(("number", "scale"), [(0, 0.5), (3, 0.8), (5, 0.6), (13, 0.5)])
def test_a_head_is_found_in_drawings(number: int, scale: float) -> None:
    """Which dlib does not see."""
    row, size = far(number, scale), (256, 192)
    picture = row.draw(*size, random.Random(0))
    (found,) = heads.find(picture, registry.find("nano"))
    assert shared(found, row.heads(*size)[0]) > 0.6


def test_two_heads_are_found_from_left_to_right() -> None:
    pair = Pair(far(0, 1), far(3, 1))
    left, right = heads.find(pair.draw(176, 112, random.Random(0)), registry.find("nano"))
    assert left[0] < right[0]
    assert [shared(a, b) > 0.6 for a, b in zip((left, right), pair.heads(176, 112), strict=True)]


def test_without_a_head_there_is_nothing_to_draw(redraw: Redraw) -> None:
    picture = Image.linear_gradient("L").convert("RGB")
    assert heads.find(picture, registry.find("nano")) == []
    assert faces.inpaint_faces(picture, redraw, [], seed=0) is picture


def test_where_no_package_finds_faces_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photographs, "available", lambda: False)
    with pytest.raises(InputError, match="dlib"):
        heads.check(registry.find("flux-dev"))
    heads.check(registry.find("nano"))


def test_a_head_is_drawn_anew_and_all_else_stays(redraw: Redraw) -> None:
    row = far(0, 0.5)
    picture = row.draw(256, 192, random.Random(0))
    box = row.heads(256, 192)[0]
    after = faces.inpaint_faces(picture, redraw, [box], seed=1)
    changed = (np.asarray(after) != np.asarray(picture)).any(2)
    left, top, right, bottom = map(round, box)
    assert changed[top:bottom, left:right].mean() > 0.9
    place = faces.square(box)
    changed[place[1] : place[3], place[0] : place[2]] = False
    assert not changed.any()
    again = faces.inpaint_faces(picture, redraw, [box], seed=1)
    assert np.array_equal(np.asarray(again), np.asarray(after))


@pytest.mark.parametrize(
    "box", [(-5.0, -8.0, 40.0, 50.0), (200.0, 150.0, 256.0, 192.0), (100.0, 0.0, 140.0, 60.0)]
)
def test_a_head_is_in_the_middle_of_what_is_drawn(box: heads.Box) -> None:
    """Even at the edge of the picture, whose last pixels go on beyond it."""
    left, top, right, bottom = faces.square(box)
    assert right - left == bottom - top
    assert abs((left + right) - (box[0] + box[2])) <= 1
    picture = far(0, 0.5).draw(256, 192, random.Random(0))
    seen = np.asarray(faces.alone(picture, box, [box]))
    inside = np.asarray(picture)[max(0, top) : bottom, max(0, left) : right]
    y, x = max(0, -top), max(0, -left)
    assert np.array_equal(seen[y : y + inside.shape[0], x : x + inside.shape[1]], inside)
    assert (seen[:, :x] == seen[:, x : x + 1]).all() and (seen[:y] == seen[y]).all()


def test_a_head_at_the_edge_is_drawn_anew_inside_the_picture(redraw: Redraw) -> None:
    picture = far(0, 0.5).draw(256, 192, random.Random(0))
    box = (-6.0, -10.0, 50.0, 50.0)
    after = faces.inpaint_faces(picture, redraw, [box], seed=1)
    changed = (np.asarray(after) != np.asarray(picture)).any(2)
    assert changed[:50, :50].mean() > 0.9
    assert not changed[80:].any() and not changed[:, 80:].any()


def test_a_head_that_fills_the_picture_was_drawn_large_enough() -> None:
    small, large, wide = (10, 10, 50, 60), (10, 10, 110, 118), (20, 5, 60, 50)
    assert faces.small([large, small], (128, 128)) == [small]
    assert faces.small([wide], (240, 64)) == [wide]  # though it is as high as the picture


def test_colours_around_the_head_are_kept(redraw: Redraw) -> None:
    """A base that draws all of it lighter: the blend does not show."""
    before = Image.new("RGB", (64, 64), (90, 100, 110))
    lighter = Image.new("RGB", (64, 64), (110, 120, 130))
    mask = faces._soft((20, 20, 44, 44), (0, 0, 64, 64), [])
    assert faces._coloured_as(before, lighter, mask).getpixel((32, 32)) == (90, 100, 110)


def test_a_head_ends_half_way_to_another() -> None:
    """Beside or above it."""
    box, beside, above = (20, 20, 44, 44), (46, 22, 70, 46), (22, -10, 46, 16)
    mask = np.asarray(faces._soft(box, (0, 0, 64, 64), [beside, above]))
    assert mask[:, 45:].max() == mask[:18].max() == 0
    assert mask[22:44, 24:40].min() > 250


def test_another_head_is_not_in_what_is_drawn_as_one_person() -> None:
    """Where a picture is narrow, the square around one head has the one beside it in it."""
    picture = Image.new("RGB", (128, 128), (40, 90, 200))
    box, other = (10.0, 40.0, 56.0, 100.0), (72.0, 40.0, 118.0, 100.0)
    for colour, (left, top, right, bottom) in (((200, 0, 0), box), ((255, 255, 0), other)):
        picture.paste(colour, (round(left), round(top), round(right), round(bottom)))
    seen = np.asarray(faces.alone(picture, box, [box, other]))
    assert seen.shape == (99, 99, 3)
    assert (seen[60, 30:70] == (200, 0, 0)).all()  # the head itself stays
    assert np.abs(seen[:, 88:].astype(int) - (40, 90, 200)).mean() < 12
    only = np.asarray(faces.alone(picture, box, [box]))
    assert (only[60, 90:] == (255, 255, 0)).all()


def test_a_box_in_another_is_of_the_same_head() -> None:
    one = torch.tensor([74.0, 47, 115, 101])
    assert heads._same(one, torch.tensor([73.0, 27, 120, 75]))
    assert heads._same(one, torch.tensor([60.0, 40, 130, 130]))
    assert not heads._same(one, torch.tensor([30.0, 40, 80, 100]))
