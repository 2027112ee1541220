"""Captions are true, and a picture is what its row says."""

from __future__ import annotations

import itertools
import json
import random
import re
from dataclasses import replace

import numpy as np
import pytest

from pretrain import people, things, words
from pretrain.backgrounds import SCENES
from pretrain.people import Person, Shot
from pretrain.renders import Pair, Portrait, Still, from_json, to_json
from tests.support.pretraining import ROWS, is_clay

FLAT = [
    next(row for row in ROWS if isinstance(row, kind) and not is_clay(row))
    for kind in (Portrait, Pair)
]


def test_a_row_is_the_same_after_its_way_through_json() -> None:
    assert {type(row) for row in ROWS} == {Portrait, Pair, Still}
    assert [from_json(*json.loads(json.dumps(to_json(row)))) for row in ROWS] == ROWS


def test_a_caption_names_nothing_that_is_not_in_the_picture() -> None:
    names = [
        *people.MOODS,
        "sleeping",
        *people.CLOTHES,
        *people.TOON_CLOTHES,
        "checked shirt",
        *things.THINGS,
    ]
    names += [
        "man",
        "woman",
        "boy",
        "girl",
        "looking left",
        "looking right",
        "facing us",
        "blue eyes",
        "green eyes",
    ]
    names += [words.bare(hat) for hat in (*people.HATS, *people.PERSONA_HATS)] + [
        "glasses",
        "beard",
        "moustache",
        "eyepatch",
    ]
    for row, prose in itertools.product(ROWS, (False, True)):
        caption, truth = row.caption(random.Random("words"), prose), json.dumps(to_json(row))
        for name in names:
            if re.search(rf"(?<![a-z-]){name}(?![a-z])", caption):
                assert name.removesuffix(" eyes") in truth, (name, caption)
        for name, phrase in SCENES.items():
            assert phrase not in caption or f'"{name}"' in truth, caption


def test_a_hat_hides_the_hair_and_a_bald_head_its_colour() -> None:
    bald = Person("avatar", "man", "a bald head", "red", "tan", "none", "none")
    shot = Shot("hoodie", "blue", "sad", "beach", "left", 1.0)
    assert "hair_colour" not in Portrait(bald, shot).answers()
    hatted = Portrait(
        Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"),
        Shot("hoodie", "blue", "sad", "beach", "left", 1.0, "a turban", "pink"),
    )
    assert "hair" not in hatted.answers()
    assert hatted.answers()["hair_colour"] == "red"  # the beard shows it
    assert hatted.said("man with a pink turban, in a blue hoodie, on the left") == {
        "kind": "man",
        "hat": "a turban",
        "hat_colour": "pink",
        "clothes": "hoodie",
        "clothes_colour": "blue",
        "position": "left",
    }


def test_words_are_found_whole() -> None:
    woman = Portrait(
        Person("toon", "woman", "a bob", "black", "pale", "none", "none"),
        Shot("dress", "red", "sad", "city", "left", 1.0),
    )
    assert woman.said("a woman with a black bobsleigh") == {"kind": "woman"}


@pytest.mark.parametrize("row", FLAT, ids=["portrait", "pair"])
@pytest.mark.parametrize("size", [(128, 128), (96, 176)])
def test_a_head_is_where_its_box_says(row: Portrait | Pair, size: tuple[int, int]) -> None:
    drawn = np.asarray(row.draw(*size, random.Random(0)), dtype=int)
    for left, top, right, bottom in row.heads(*size):
        x, y = round(min(size[0] - 1, max(0, (left + right) / 2))), round((top + bottom) / 2)
        corner = drawn[0, 0]
        # a face, not the wall behind it
        assert abs(drawn[min(y, size[1] - 1), x] - corner).sum() > 30


def test_a_portrait_in_sentences_says_what_its_phrases_would() -> None:
    row = Portrait(
        Person("clay", "girl", "a bob", "red", "tan", "none", "none", "green", 7),
        Shot("turtleneck", "blue", "sad", "beach", "left", 1.0, pose="looking right"),
    )
    said = [row.said(row.caption(random.Random(i), prose=True)) for i in range(20)]
    missing = {"number", "hat", "glasses", "beard"}  # one head without any
    assert dict(pair for answers in said for pair in answers.items()) == {
        k: v for k, v in row.answers().items() if k not in missing
    }
    assert row.answers()["pose"] == "looking right"
    asleep = Portrait(row.person, replace(row.shot, mood="sleeping"))
    assert "eyes" not in asleep.answers()
    assert "eyes" not in " ".join(
        asleep.caption(random.Random(i), prose) for i in range(20) for prose in (False, True)
    )


@pytest.mark.parametrize("row", FLAT, ids=lambda row: type(row).__name__)
@pytest.mark.parametrize("scene", SCENES)
def test_scaled_drawings_show_the_same_scene(row: Portrait | Pair, scene: str) -> None:
    """Stars and windows are placed in pixels of the frame: a larger frame would have others."""
    if isinstance(row, Pair):
        row = replace(row, left=replace(row.left, shot=replace(row.left.shot, background=scene)))
    else:
        row = replace(row, shot=replace(row.shot, background=scene))
    small, large = (row.draw(128, 112, random.Random(3), scale=scale) for scale in (1, 4))
    assert large.size == (512, 448)
    apart = np.asarray(large.reduce(4), float) - np.asarray(small, float)
    assert np.square(apart).mean() < 255**2 / 10**3.3  # 33 dB
