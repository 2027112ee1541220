"""The ten styles and the three colour gradings: how they are spelt, and what a style may not do."""

from __future__ import annotations

import pytest

from fluxbooth.prompts import language, looks
from fluxbooth.prompts.language import TRIGGER_WITHIN_WORDS

TEXT = '<lora:5000001:0.8> ohwx man on a sign that says "OPEN, CLOSED", in a city at night'


def words(text: str) -> int:
    return len(text.split())


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("Film Velvia", "Film Velvia"),
        ("film-velvia", "Film Velvia"),
        ("FILM_PORTRA", "Film Portra"),
        ("portra", "Film Portra"),
        ("Ektar", "Ektar"),
        ("film ektar", "Ektar"),
        ("Kodachrome", None),
        ("", None),
    ],
)
def test_a_colour_grading_is_known_however_it_is_spelt(written: str, meant: str | None) -> None:
    assert looks.grading_named(written) == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("cinematic", "Cinematic"),
        ("digital-art", "Digital Art"),
        ("COMIC BOOK", "Comic book"),
        ("low poly", "Lowpoly"),
        ("line_art", "Line art"),
        ("Nonsense", None),
        ("Film Cinematic", None),
    ],
)
def test_a_style_is_known_however_it_is_spelt(written: str, meant: str | None) -> None:
    assert looks.style_named(written) == meant


def test_the_styles_are_the_ten_of_the_contract() -> None:
    assert set(looks.STYLES) == {
        "Cinematic", "Animated", "Digital Art", "Photographic", "Fantasy art", "Neonpunk",
        "Enhance", "Comic book", "Lowpoly", "Line art",
    }  # fmt: skip


@pytest.mark.parametrize("style", looks.STYLES)
def test_a_style_keeps_the_text_and_its_tags_as_they_are(style: str) -> None:
    whole, advice = looks.styled(TEXT, style)
    assert TEXT in whole and advice is None
    assert len(whole) > len(TEXT)
    assert language.parse(whole).loras == language.parse(TEXT).loras
    # the prompt language finds nothing in the style to advise against
    assert [a.code for a in language.advise(whole, "ohwx man")] == []


@pytest.mark.parametrize("style", looks.STYLES)
def test_the_trigger_words_stay_near_the_beginning(style: str) -> None:
    assert words(looks.STYLES[style].before) + 1 < TRIGGER_WITHIN_WORDS


def test_the_style_ends_a_sentence_as_the_prompt_does() -> None:
    assert looks.styled("a dog at the sea,", "Enhance")[0].startswith("a dog at the sea, vivid")
    assert looks.styled("A dog at the sea.", "Enhance")[0].startswith("A dog at the sea. Vivid")


def test_what_the_base_has_no_room_for_is_left_out_from_the_end_and_said() -> None:
    full, _ = looks.styled("ohwx man", "Comic book")
    cut, advice = looks.styled("ohwx man", "Comic book", words, words(full) - 1)
    assert full.startswith(cut) and cut.endswith("flat bright colours")
    assert advice and advice.code == "style_cut" and '"halftone dots"' in advice.message


def test_a_style_never_takes_room_from_the_prompt() -> None:
    whole, advice = looks.styled("ohwx man at the sea", "Comic book", words, 6)
    assert whole == "ohwx man at the sea"
    assert advice and "Comic book drawing of" in advice.message
    whole, advice = looks.styled("ohwx man at the sea", "Comic book", words, 3)
    assert whole == "ohwx man at the sea"  # too long by itself, which another advice says
