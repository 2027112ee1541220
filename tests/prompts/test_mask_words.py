"""The words of masks: which part each names, and which cannot be told apart on photographs."""

from __future__ import annotations

import pytest

from fluxbooth import InputError
from fluxbooth.prompts import mask_words
from fluxbooth.prompts.mask_words import PARTS, PERSON


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("person", set(PERSON)),
        ("Woman", set(PERSON)),
        ("the hair and his glasses", {"hair", "glasses"}),
        ("hat, T-shirt", {"hat", "clothes"}),
        ("dogs", {"animal", "object"}),
        ("foreground", set(PARTS) - {"background"}),
        ("background", {"background"}),
    ],
)
def test_words_name_parts(text: str, parts: set[str]) -> None:
    assert mask_words.parts_of(text, every=True) == parts


@pytest.mark.parametrize("text", ["person", "people", "background", "foreground"])
def test_people_are_told_from_the_background_on_photographs(text: str) -> None:
    assert mask_words.parts_of(text, every=False) == mask_words.parts_of(text, every=True)


@pytest.mark.parametrize(
    ("text", "every", "sentence"),
    [
        ("left sock", True, '"left".*person, face, .*background'),
        ("hair", False, '"hair" in a photograph.*person or background'),
        ("sock", False, '"sock" in a photograph.*person or background'),
        ("  ", True, "names nothing"),
        ("the", False, "names nothing"),
    ],
)
def test_a_word_that_cannot_be_found_is_named_with_those_that_can(
    text: str, every: bool, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        mask_words.parts_of(text, every)


@pytest.mark.parametrize(
    ("amount", "pixels"),
    [
        ("12", 12),
        ("-3", -3),
        ("5%", 10),
        ("-20%", -40),
        (" 2.5 % ", 5),
        ("+4", 4),
        ("0", 0),
        ("900", 200),
    ],
)
def test_a_mask_is_widened_by_pixels_or_percent(amount: str, pixels: int) -> None:
    assert mask_words.pixels(amount, side=200) == pixels


@pytest.mark.parametrize("amount", ["", "%", "wide", "1e9", "12345", "nan", "1%%", "101%"])
def test_another_amount_is_refused(amount: str) -> None:
    with pytest.raises(InputError, match="mask_dilate"):
        mask_words.pixels(amount, side=200)
