"""Flags in texts, and the table that says what each option takes and whether it works."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import film
from fluxbooth.prompts import looks, options
from fluxbooth.prompts.language import advise, parse
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.specs import Enhancements, EnhanceSpec, GenerateSpec

FLAGS = st.sampled_from(["--fill", "--film_grain", "--mask_prompt", "--nope", "--", "-", "word"])
PIECES = st.sampled_from(['"', "'", "=", " ", "  ", "\n", "a", "é", "-20%", "<lora:x:1>", "--"])
TEXTS = st.lists(st.one_of(FLAGS, PIECES), max_size=25).map("".join)


@pytest.mark.parametrize(
    ("text", "values", "rest"),
    [
        ("a man --film_grain", {"film_grain": True}, "a man"),
        ("--fill a man --mask_blur 4 at sea", {"fill": True, "mask_blur": "4"}, "a man at sea"),
        ("a --mask_dilate -20% b", {"mask_dilate": "-20%"}, "a b"),
        ('a --outpaint_prompt "a long beach" b', {"outpaint_prompt": "a long beach"}, "a b"),
        ('a --outpaint_prompt="a long beach"', {"outpaint_prompt": "a long beach"}, "a"),
        ("don't --film_grain, don't", {}, "don't --film_grain, don't"),
        ("the dog's --film_grain the cat's", {"film_grain": True}, "the dog's the cat's"),
        ("a --film-grain b", {"film_grain": True}, "a b"),
        ("a --film_grain=false b", {"film_grain": "false"}, "a b"),
        ("a --film_grain false b", {"film_grain": "false"}, "a b"),
        ("a --film_grain falsely b", {"film_grain": True}, "a falsely b"),
        ("a --mask_blur 1 --mask_blur 2", {"mask_blur": "2"}, "a"),
        ('a sign that says "--fill"', {}, 'a sign that says "--fill"'),
        ('a 12" record --film_grain', {}, 'a 12" record --film_grain'),
        ("well -- then", {}, "well -- then"),
        ("a --nope 3 --film_grain", {"film_grain": True}, "a --nope 3"),
        ('a --video_prompt "it moves" b', {"video": True}, 'a "it moves" b'),
        ("a --regional_base_ratio 0.3 b", {"regional": True}, "a b"),
        ("", {}, ""),
    ],
)
def test_flags_are_words_of_a_shell(text: str, values: dict[str, object], rest: str) -> None:
    assert options.given(text) == values
    assert " ".join(options.without_flags(text).split()) == rest
    if rest:
        assert parse(text).text == rest


@given(TEXTS)
def test_any_text_is_taken(text: str) -> None:
    found = options.flags(text)
    assert all(text[flag.start : flag.end].startswith("--") for flag in found)
    rest = options.without_flags(text, keep_length=True)
    assert len(rest) == len(text)
    if options.unbalanced(text):
        assert rest == text


@pytest.mark.parametrize(
    "text", ["a --mask_prompt", "a --mask_prompt --fill", 'a --mask_prompt ""']
)
def test_a_flag_without_the_value_that_it_needs_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--mask_prompt needs a value behind it"):
        options.given(text)


def test_an_unknown_flag_stays_and_is_told_with_what_was_meant() -> None:
    (advice,) = [
        a for a in advise("a man at sea in a boat --film_grian") if a.code == "unknown_flag"
    ]
    assert (advice.start, advice.end) == (23, 35)
    assert "(did you mean '--film_grain'?)" in advice.message
    assert parse("a man at sea --film_grian").text == "a man at sea --film_grian"


def test_flags_that_a_lone_quotation_mark_hides_are_told() -> None:
    told = [a.code for a in advise('a 12" record on a table at home --film_grain')]
    assert told == ["unread_flags"]
    assert "unread_flags" not in [a.code for a in advise('a 12" record on a table at home')]


def test_known_flags_are_no_words_of_a_prompt() -> None:
    assert advise("a man at the beach --mask_negative clothes --film_grain") == []


def test_a_spec_has_the_fields_of_the_table_as_the_table_has_them() -> None:
    rows = {row.name for row in OPTIONS.values() if row.of_spec}
    assert set(Enhancements.model_fields) == rows
    kinds = {
        "switch": "bool", "number": "float", "whole number": "int", "text": "str", "word": "Literal"
    }  # fmt: skip
    for name, field in Enhancements.model_fields.items():
        row = OPTIONS[name]
        shown = re.sub(r"<class '(\w+)'>", r"\1", str(field.annotation))
        assert kinds[row.takes] in shown, name
        assert field.default == row.default and field.description == row.does


def test_every_reason_is_the_end_of_a_sentence_and_every_row_says_what_it_does() -> None:
    for row in OPTIONS.values():
        assert row.does and not row.does.endswith(".") and len(row.does) < 110
        assert not (row.refused and row.ignored)
        assert not row.refused.endswith(".") and not row.ignored.endswith(".")
        assert {*row.needs, *row.goes_with} <= OPTIONS.keys() | {"input_image", "mask_image"}
        assert not row.priced or not row.ignored


def test_the_words_of_looks_are_those_of_the_table() -> None:
    assert OPTIONS["style"].words == tuple(looks.STYLES)
    assert OPTIONS["color_grading"].words == options.GRADINGS == tuple(film.FILMS)


@pytest.mark.parametrize(
    ("given", "known"),
    [("film-velvia", "Film Velvia"), ("FILM_VELVIA", "Film Velvia"), ("ektar", "Ektar")],
)
def test_words_are_spelt_in_any_way(given: str, known: str) -> None:
    assert Enhancements(color_grading=given).color_grading == known


def test_numbers_are_clamped_where_the_contract_clamps_them_and_refused_elsewhere() -> None:
    assert Enhancements(hires_denoising_strength=7).hires_denoising_strength == 1
    assert Enhancements(hires_denoising_strength=0).hires_denoising_strength == 0.1
    with pytest.raises(InputError, match="Upscale factor 9 will not do"):
        EnhanceSpec(upscale_factor=9)


def test_a_number_out_of_range_is_clamped_in_a_text_and_refused_as_a_setting() -> None:
    told = "a man --super_resolution --hires_fix --hires_denoising_strength 7"
    assert GenerateSpec().with_flags(told).hires_denoising_strength == 1
    for spec in (EnhanceSpec, GenerateSpec):
        with pytest.raises(InputError, match=r"must be from 0\.1 to 1, not 7"):
            spec(super_resolution=True, hires_fix=True, hires_denoising_strength=7)


def test_a_style_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="Style 'Nonsense' will not do: use 'Cinematic'"):
        GenerateSpec(style="Nonsense")


def test_a_refused_option_says_why() -> None:
    values = {"switch": "", "number": " 1", "whole number": " 128", "text": " 5", "word": ""}
    for row in OPTIONS.values():
        if row.refused:
            value = f' "{row.words[0]}"' if row.words else values[row.takes]
            with pytest.raises(InputError, match=re.escape(f"The option {row.name} {row.refused}")):
                GenerateSpec().with_flags(f"a --{row.name}{value}")


def test_what_goes_with_something_else_is_ignored_alone() -> None:
    alone = options.ignored({"hires_fix": True, "inpaint_faces": True})
    assert alone.keys() == {"hires_fix", "inpaint_faces"}
    assert alone["hires_fix"] == (
        "hires_fix is ignored without super_resolution or resolution or tiled_upscale or "
        "tiled_upscale_v2: add it, or leave hires_fix out."
    )
    assert options.ignored({"hires_fix": True, "super_resolution": True}) == {}
    assert "hires_fix" not in options.charged({"hires_fix": True})


def test_a_canvas_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, "outpaint", replace(OPTIONS["outpaint"], refused=""))
    assert options.refusals({"outpaint": "center"})["outpaint"].startswith("needs outpaint_width")
    wide = {"outpaint": "center", "outpaint_width": 4096, "outpaint_height": 1100}
    assert "asks for 4096 x 1100 pixels" in options.refusals(wide)["outpaint"]


@pytest.mark.parametrize("name", ["style", "prompt_expansion", "input_faceid"])
def test_what_is_of_the_words_counts_for_nothing_without_any(name: str) -> None:
    asked = {name: True, "input_image": True, "denoising_strength": 0.5}
    assert not options.ignored(asked)
    assert "where the text has no words" in options.ignored(asked | {options.WORDLESS: True})[name]
    assert not options.charged(asked | {options.WORDLESS: True})


@pytest.mark.parametrize("start", options.STARTS)
def test_nothing_is_edited_that_is_started_from(start: str) -> None:
    asked = {"input_faceid": True, "input_image": True, "denoising_strength": 0}
    assert options.edits(asked) and not options.keeps(asked)
    asked |= {start: True}
    assert "input_faceid is ignored beside" in options.ignored(asked)["input_faceid"]
    assert not options.edits(asked) and options.keeps(asked)
    if start != "only_upscale":  # which does something
        assert "nothing is done to it" in options.idle(asked)["denoising_strength"]


def test_a_style_that_had_no_room_is_not_done() -> None:
    assert options.done("style", [{"step": "film_grain"}])
    assert not options.done("style", [{"step": "style", "drawn": 0}])
