"""The ten styles: what one adds to a prompt, and what it may not do to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer

from fluxbooth.models import registry
from fluxbooth.prompts import language, looks
from fluxbooth.prompts.language import TRIGGER_WITHIN_WORDS

TEXT = '<lora:5000001:0.8> ohwx man on a sign that says "OPEN, CLOSED", in a city at night'


def words(text: str) -> int:
    return len(text.split())


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
    full, _ = looks.styled("ohwx man", "Comic book", words, 100)
    cut, advice = looks.styled("ohwx man", "Comic book", words, words(full) - 1)
    assert full.startswith(cut) and words(cut) < words(full)
    assert advice and advice.code == "style_cut" and "halftone dots, panel of" in advice.message


def test_a_style_takes_no_more_than_its_share() -> None:
    prompt = " ".join(["word"] * 50)
    whole, advice = looks.styled(prompt, "Comic book", words, 60)
    assert words(whole) <= 60 and advice
    short, advice = looks.styled("ohwx man", "Comic book", words, 30)
    assert words(short) - 2 <= 10 and advice


def test_a_style_never_takes_room_from_the_prompt() -> None:
    whole, advice = looks.styled("ohwx man at the sea", "Comic book", words, 6)
    assert whole == "ohwx man at the sea"
    assert advice and "Comic drawing of" in advice.message
    whole, advice = looks.styled("ohwx man at the sea", "Comic book", words, 3)
    assert whole == "ohwx man at the sea"  # too long by itself, which another advice says


@pytest.mark.parametrize("style", looks.STYLES)
def test_with_the_words_that_nano_reads_the_trigger_stays_and_something_of_the_style(
    style: str,
) -> None:
    nano = registry.find("nano")
    tokens = Tokenizer.from_file(str(Path(nano.source) / "tokenizer_2" / "tokenizer.json"))
    text = "ohwx man with a red hat, at the beach"
    whole, _ = looks.styled(
        text, style, lambda words: len(tokens.encode(words).ids), nano.text_length
    )
    assert text in whole and whole != text
    read = tokens.encode(whole)
    assert len(read.ids) <= nano.text_length
    assert {"\u2581ohwx", "\u2581man", "\u2581beach"} <= set(read.tokens)
