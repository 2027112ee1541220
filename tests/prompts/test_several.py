from __future__ import annotations

import pytest

from fluxbooth.prompts import several

BOTH = ["ohwx man", "ohwx woman"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "ohwx man and ohwx woman, side by side, at the beach",
            "two people, man and woman, side by side, at the beach",
        ),
        ("OHWX Man next to a ohwx woman", "two people, man next to a woman"),
        (
            "portrait of two people, ohwx man and ohwx woman",
            "portrait of two people, man and woman",
        ),
        ("ohwx man and ohwx woman with a child", "man and woman with a child"),
    ],
)
def test_a_scene_says_how_many_people_there_are(text: str, told: str) -> None:
    """nano draws one person for "man on the left, woman on the right"."""
    assert several.scene(text, BOTH) == told


def test_a_scene_of_nobody_in_particular_is_as_it_was_told() -> None:
    told = "ohwx man and ohwx woman, at the beach"
    assert several.scene(told, []) == told


def test_a_scene_of_three() -> None:
    told = several.scene(
        "ohwx man, ohwx man and ohwx woman", ["ohwx man", "ohwx man", "ohwx woman"]
    )
    assert told == "three people, man, man and woman"


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        (
            "ohwx man and ohwx woman, side by side, at the beach",
            ["ohwx man, at the beach", "ohwx woman, at the beach"],
        ),
        (
            "ohwx woman smiling and ohwx man sad, in a forest",
            ["ohwx woman smiling, in a forest", "ohwx man sad, in a forest"],
        ),
        (
            "watercolour of ohwx man in red and ohwx woman in blue, at night, in rain",
            [
                "watercolour of ohwx man in red, at night, in rain",
                "watercolour of ohwx woman in blue, at night, in rain",
            ],
        ),
        (
            "ohwx man and ohwx woman at the beach",
            ["ohwx man, at the beach", "ohwx woman, at the beach"],
        ),
        ("two people, ohwx man and ohwx woman", ["ohwx man", "ohwx woman"]),
    ],
)
def test_each_is_told_what_is_said_of_them_and_of_all(text: str, alone: list[str]) -> None:
    """Not that they are beside somebody: a second person would be drawn beside them."""
    assert [one.alone for one in several.each(text, BOTH)] == alone


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("ohwx woman and ohwx man", [1, 0]),
        ("ohwx man on the left, ohwx woman on the right", [0, 1]),
        ("ohwx man on the right, ohwx woman on the left", [1, 0]),
        ("ohwx man on the right, next to ohwx woman", [1, 0]),
        ("on the left ohwx woman, on the right ohwx man", [1, 0]),
        ("on the right ohwx woman, on the left ohwx man", [0, 1]),
    ],
)
def test_people_stand_where_the_text_says(text: str, order: list[int]) -> None:
    found = several.each(text, BOTH)
    assert [one.number for one in found] == order
    assert all("left" not in one.alone and "right" not in one.alone for one in found)


def test_the_same_words_called_twice_are_two_people() -> None:
    twice = ["ohwx man", "ohwx man"]
    assert several.spans("ohwx man and ohwx man", twice) == [(0, 8), (13, 21)]
    assert several.spans("ohwx man alone", twice) == [(0, 8), None]
    assert [one.number for one in several.each("ohwx man and ohwx man", twice)] == [0, 1]
