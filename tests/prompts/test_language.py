"""The prompt language: LoRA tags, the refusal of negative prompts, advice without false alarms,
and plain text."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fluxbooth.errors import InputError
from fluxbooth.prompts import language
from fluxbooth.prompts.language import (
    Advice,
    LoraTag,
    Prompt,
    advise,
    class_word,
    parse,
    plain,
    trigger_words,
    with_trigger,
)
from fluxbooth.prompts.negatives import check_negative
from fluxbooth.specs import TrainSpec

PIECES = st.sampled_from(
    [
        *("()[]<>:,.'\"+ \n~"),
        *(
            "((",
            "))",
            "[[",
            "]]",
            ":1.2",
            "++",
            "word",
            "a:b:0.5",
            "no hat",
            "<lora:x:0.5>",
            "<lora:",
            "masterpiece",
            "8k",
        ),
        *(
            "\u201chi\u201d",
            "sign that says",
            "ohwx",
            "\u2019s",
            "\u00a0",
            "\0",
            "\ud800",
            "\u200b",
        ),
    ]
)
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=30).map("".join))


def codes(text: str, **options) -> list[str]:
    return [item.code for item in advise(text, **options)]


def about(text: str, code: str, **options) -> list[str]:
    return [text[item.start : item.end] for item in advise(text, **options) if item.code == code]


@pytest.mark.parametrize(
    ("text", "left", "loras"),
    [
        ("a red fox in snow", "a red fox in snow", []),
        ("a fox <lora:fur:0.8>", "a fox", [("fur", 0.8)]),
        ("<lora:fur> a fox", "a fox", [("fur", 1.0)]),
        ("a fox, <LoRA:17:-.5>, in snow", "a fox, in snow", [("17", -0.5)]),
        ("a fox <lora:fur>, in snow", "a fox, in snow", [("fur", 1.0)]),
        ("a fox<lora:fur:4>in snow", "a fox in snow", [("fur", 4.0)]),
        ("a fox <lora:a:1> <lora:b:2>. Snow", "a fox. Snow", [("a", 1.0), ("b", 2.0)]),
        ("a fox <lora:a>.<lora:b> Snow", "a fox. Snow", [("a", 1.0), ("b", 1.0)]),
        ("a fox (<lora:fur>) in snow", "a fox in snow", [("fur", 1.0)]),
        ("a fox,,\n in\u00a0\u2003snow ,", "a fox, in snow", []),
        ("a fo\u200bx\u2028in snow", "a fox in snow", []),
        ("a fox in a .env file", "a fox in a .env file", []),
        (
            "a fox <lora: /my models/v1.2/fur x.safetensors : 1e0 >",
            "a fox",
            [("/my models/v1.2/fur x.safetensors", 1.0)],
        ),
        (r"a fox <lora:C:\models\fur.safetensors>", "a fox", [(r"C:\models\fur.safetensors", 1.0)]),
        (
            r"a fox <lora:C:\models\fur.safetensors:0.3>",
            "a fox",
            [(r"C:\models\fur.safetensors", 0.3)],
        ),
        ("x < y and <b> are kept, said Lora: yes", "x < y and <b> are kept, said Lora: yes", []),
    ],
)
def test_parse_takes_tags_out_and_tidies(
    text: str, left: str, loras: list[tuple[str, float]]
) -> None:
    assert parse(text) == Prompt(left, tuple(LoraTag(*lora) for lora in loras))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        *[
            (f"a fox <lora:fur:{weight}>", f"<lora:fur:{weight}> needs a weight from -4 to 4")
            for weight in (
                "",
                "strong",
                "nan",
                "inf",
                "-inf",
                "1e999",
                "4.01",
                "-5",
                "0,8",
                "1_0",
                "0.5:0.7",
                "\u0661",
            )
        ],
        ("a fox <lora:>", "<lora:> has no name"),
        ("a fox <lora: :0.5>", "<lora: :0.5> has no name"),
        ("a fox <lora:fur:0.5 in snow", '"<lora:fur:0.5 in snow" is not complete'),
        ("a fox <lora:fur\n:0.5>", "is not complete"),
        ("a fox <lora:fur <lora:x:1>", "is not complete"),
        ("a fox <lora>", "is not complete"),
        ("<faceid:7:1> a fox", 'The tag "<faceid:7:1>" names a picture that a server keeps'),
        ("a fox < FaceID:7", "give the picture itself as a reference"),
        ("a <lo\u200bra:fur fox", "is not complete"),
        ("a fox" + " <lora:x>" * 9, "names 9 LoRAs; at most 8"),
        ("", "empty"),
        (" \n,", "empty"),
        ("<lora:fur:1>, <lora:x>", "empty"),
        ("x" * 10_001, "10,001 characters"),
        ("a\0fox", r"U\+0000"),
        ("a \x1b[1m fox", r"Character 3 .*U\+001B"),
        ("a \ud800 fox", r"U\+D800"),
    ],
)
def test_parse_refuses_and_names_what_is_wrong(text: str, names: str) -> None:
    with pytest.raises(InputError, match=names):
        parse(text)


def test_parse_takes_what_is_just_allowed() -> None:
    assert len(parse("x" * 10_000).text) == 10_000
    assert [lora.weight for lora in parse("fox" + "<lora:x:-4>" * 8).loras] == [-4.0] * 8


@given(TEXTS)
@example("<<lora:x>lora:y>")
@example("a <lora:x>.<lora:y>, ,")
@settings(max_examples=300, deadline=None)
def test_parse_only_ends_in_a_tidy_prompt_or_an_input_error(text: str) -> None:
    try:
        prompt = parse(text)
    except InputError:
        return
    assert prompt.text and "  " not in prompt.text and "\n" not in prompt.text
    assert prompt.text == prompt.text.strip(" ,")
    assert parse(prompt.text) == Prompt(prompt.text, ())


@pytest.mark.parametrize("nothing", [None, "", " \n\t"])
def test_no_negative_prompt_is_fine(nothing: str | None) -> None:
    check_negative(nothing)


@pytest.mark.parametrize(
    ("negative", "wordings"),
    [
        ("Blurry", ['instead of "blurry" write "sharp focus"']),
        (
            "(bad_hands:1.4), extra fingers",
            ['"bad hands" write "natural hands', '"extra fingers" write "natural hands'],
        ),
        ("text, watermark", ['"text" write "a clean', '"watermark" write "a clean']),
        ("no people", ['"no people" write "an empty place"']),
        (
            "cartoon, low-quality, dark",
            ['"a photograph"', '"low quality" write "a detailed photograph"', '"bright daylight"'],
        ),
        ("too dark", ['"too dark" write "bright daylight"']),
    ],
)
def test_a_negative_prompt_is_refused_with_a_positive_wording(
    negative: str, wordings: list[str]
) -> None:
    with pytest.raises(InputError, match="nothing to subtract") as caught:
        check_negative(negative)
    for wording in wordings:
        assert wording in str(caught.value)
    assert str(caught.value).count("instead of") == len(wordings)


@pytest.mark.parametrize("unknown", ["wombats", "darkroom, texture, hatstand"])
def test_unknown_negative_terms_are_refused_without_a_made_up_wording(unknown: str) -> None:
    with pytest.raises(InputError, match="what should be there, such as") as caught:
        check_negative(unknown)
    assert "instead of" not in str(caught.value)


NATURAL = [
    "A portrait of an old fisherman on a pier at dawn, weathered face, deep wrinkles, soft light from the left",
    "Product shot of a bottle of Chanel No. 5 perfume on black marble, a single softbox, shallow depth of field",
    'A neon sign that says "OPEN 24 HOURS" above a diner in the rain, reflections on wet asphalt',
    "A shop window with the words \u201cFresh Bread\u201d painted in gold, morning light",
    "A wooden signpost reading 'NO ENTRY' at the edge of a misty forest",
    "Photograph of Robin Hood's statue in Nottingham, a knot of tourists nearby, Noh masks on a stall",
    "A man (left) and a woman (right) shake hands (35mm film, Kodak Portra 400) in a bright office",
    "don's hat lies on the kitchen table beside o'clock flowers and the dogs' bowls",
    "[ohwx] man in a linen suit leaning on a vintage car, Havana street, late afternoon",
    "A still life in a 16:9 frame (ratio 16:9), a clock at (10:30), a Bible open at (John 3:16)",
    'A 12" vinyl record and a 7" single on a shag carpet, 1970s living room, warm tungsten light',
    "Cover art in the manner of Kimetsu no Yaiba, a swordsman under wisteria, flat ink shading",
    "The statue of a man without a country, not only tall but slender, bronze, no longer polished, in a park",
    "A programmer with C++ and Notepad++ stickers on a laptop, coffee, window light",
    "A woman reading a newspaper under a sign, a boy in a striped shirt reading comics on the floor",
    "A Rembrandt masterpiece hangs beside an 8K television in the best quality oak frame money can buy",
    "A deer leaps to avoid a puddle, a blue forget-me-not field behind, no-nonsense documentary style",
    "A letter written on old paper with a wax seal, blackboard with equations written across it in chalk",
    "A bouquet with the text of a poem beside it, a lit candle (smiling face :3) and linen napkins",
    "A can of Coke No Sugar by a Do not disturb hanger, a menu with prices written in chalk, signs reading in line",
    "A birthday cake that says it all, a shirt that says more than its wearer, a road with no end, heat haze",
    "Shot at (f/1.8), (ISO:100), (shutter:1/250), a Vans Don't Look Up poster, a highly detailed engraving of a whale",
    "Two chefs in a busy kitchen, one tasting soup, \u2018fire and steam\u2019, whether or not the guests are watching",
]


@pytest.mark.parametrize("text", NATURAL)
def test_natural_prompts_get_no_advice_and_reach_the_encoders_unchanged(text: str) -> None:
    assert advise(text, count_tokens=len) == []
    assert plain(text) == text


@pytest.mark.parametrize(
    ("code", "text", "found"),
    [
        ("weight", "a man in a (red hat:1.3) on a beach", "(red hat:1.3)"),
        ("weight", "a man in a ((red hat)) on a beach", "((red hat))"),
        ("weight", "a man in a [[red hat]] on a beach", "[[red hat]]"),
        ("weight", "a man with a [cat:dog:0.5] on a beach", "[cat:dog:0.5]"),
        ("weight", "a man in a red++ hat on a beach", "red++"),
        ("weight", "a man (in a (red:1.3)) on a beach", "(red:1.3)"),
        ("weight", "a man in a (red hat)++ on a beach", "(red hat)++"),
        ("weight", 'a neon sign that reads ("OPEN":1.4) at night', '("OPEN":1.4)'),
        (
            "negative_block",
            "a man on a beach\nNegative prompt: blurry, ugly\nSteps: 20",
            "Negative prompt: blurry, ugly\nSteps: 20",
        ),
        ("other_tag", "a man on a beach at noon <lyco:film:0.8>", "<lyco:film:0.8>"),
        ("other_tag", "a man on a beach at noon <hypernet:film:1>", "<hypernet:film:1>"),
        ("escaped", r"a portrait of miku \(vocaloid\) on a beach", r"\(vocaloid\)"),
        ("escaped", r"a man on a beach \[at noon", r"\["),
        ("escaped", "a man on a beach at noon &lt;lora:me:0.8&gt;", "&lt;lora:me:0.8&gt;"),
        ("negation", "a man on a beach, no hat, at noon", "no hat"),
        ("negation", "a man without glasses on a beach", "without glasses"),
        ("negation", "a man not smiling on a beach", "not smiling"),
        ("negation", "a man on a beach, don't show people", "don't show"),
        ("negation", "a man who doesn\u2019t smile on a beach", "doesn\u2019t smile"),
        ("negation", "a man on a beach. Avoid text", "Avoid text"),
        ("negation", "a man on a beach, do not show people", "do not show"),
        ("negation", "A MAN ON A BEACH WITH NO HAT", "NO HAT"),
        ("negation", 'a sign that says "no dogs" and no people', "no people"),
        ("lettering", "a neon sign that says open in the rain", "sign that says open"),
        ("lettering", "a wooden sign reading welcome in the rain", "sign reading welcome"),
        ("lettering", "a red logo saying Bakery on white paper", "logo saying Bakery"),
        ("lettering", "a cake with the words happy birthday on it", "with the words happy"),
        ("lettering", "a movie poster titled lost in space", "poster titled lost"),
        ("lettering", "a mug with hello world written on it", "with hello world written on"),
        ("lettering", "a plain white page, text: hello world", "text: hello"),
        (
            "quality_words",
            "masterpiece, best quality, 8k, a man on a beach",
            "masterpiece, best quality, 8k",
        ),
        ("quality_words", "a man on a beach, (masterpiece)", "masterpiece"),
        ("quality_words", "a man on a beach, trending on artstation", "trending on artstation"),
        ("quality_words", "an ultra-detailed man on a beach", "ultra-detailed"),
        ("short", "a man", ""),
        ("long", "word " * 121, ""),
    ],
)
def test_advice_names_what_it_is_about(code: str, text: str, found: str) -> None:
    assert codes(text) == [code]
    assert about(text, code) == [found]
    (item,) = advise(text)
    assert "{" not in item.message and (not found or " ".join(found.split()) in item.message)


def test_one_row_for_each_code() -> None:
    codes_in_order = [rule.code for rule in language.RULES]
    assert codes_in_order[:4] == ["weight", "negative_block", "other_tag", "escaped"]
    assert codes_in_order[4:6] == ["unknown_flag", "unread_flags"]
    assert codes_in_order[6:10] == ["negation", "trigger_missing", "trigger_late", "too_long"]
    assert codes_in_order[10:] == ["lettering", "short", "long", "quality_words"]


def test_advice_comes_in_order_of_appearance_and_as_json() -> None:
    text = "masterpiece, a man in a ((red)) hat without glasses <lora:no glasses:1>"
    found = advise(text, trigger="ohwx")
    assert [item.code for item in found] == [
        "trigger_missing",
        "quality_words",
        "weight",
        "negation",
    ]
    assert json.loads(json.dumps(found[3].to_json())) == {
        "code": "negation",
        "message": found[3].message,
        "start": 36,
        "end": 51,
    }
    assert '"ohwx"' in found[0].message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ohwx man on a sunny beach", []),
        ("a photo of OHWX\n man's face, on a beach", []),
        ("one two three four five six seven ohwx man", []),
        ("one two three four five six seven eight ohwx man", ["trigger_late"]),
        ("a tall man on a sunny beach", ["trigger_missing"]),
        ("an ohwx manor on a sunny beach", ["trigger_missing"]),
        ("a tall man on a beach <lora:ohwx man:1>", ["trigger_missing"]),
        ("ohwx man on a beach", ["short"]),
        ("ohwx man on the beach today", []),
        ("ohwx man, smiling, outdoors", ["short"]),
    ],
)
def test_the_trigger_is_there_and_early(text: str, expected: list[str]) -> None:
    assert codes(text, trigger="ohwx  man") == expected


def test_no_trigger_asks_for_none_and_signs_in_it_are_literal() -> None:
    assert codes("a tall man on a beach", trigger=" ") == []
    assert codes("<s1> man on a sunny beach (x+", trigger="(x+") == []
    assert about(
        "one two three four five six seven eight ohwx", "trigger_late", trigger="ohwx"
    ) == ["ohwx"]


def test_a_picture_that_is_given_needs_no_words() -> None:
    assert advise("") == advise("--only_upscale") == []


def count_words(text: str) -> int:
    return len(text.split())


def test_too_long_points_to_the_words_that_fall_off() -> None:
    text = "one two three four\nfive  six "
    assert about(text, "too_long", count_tokens=count_words, text_length=4) == ["five  six"]
    assert about(text, "too_long", count_tokens=count_words, text_length=5) == ["six"]
    assert about(text, "too_long", count_tokens=count_words, text_length=6) == []
    assert about(text, "too_long", count_tokens=lambda _: 99, text_length=6) == [text.strip()]
    assert about("one two   ", "too_long", count_tokens=len, text_length=6) == ["two"]
    (item,) = advise(text, count_tokens=count_words, text_length=4)
    assert "6 tokens" in item.message and "reads 4" in item.message and '"five six"' in item.message


def test_too_long_counts_no_lora_tags_and_few_times() -> None:
    calls: list[str] = []
    text = "<lora:a b c d:1> " + "word " * 1000
    found = advise(text, count_tokens=lambda part: calls.append(part) or count_words(part))
    assert [item.code for item in found] == ["too_long"]  # and not "long" as well
    assert count_words(text[found[0].start :]) == 1000 - 512 and len(calls) < 40


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a (red hat:1.3) and ((blue)) [[green]] bag++", "a red hat and blue green bag"),
        ("((red hat:1.3)), (((deep)))", "red hat, deep"),
        ("((red hat:1.2) on a man:1.1)", "red hat on a man"),
        ("a man (in a (red:1.3)) hat", "a man (in a red) hat"),
        ("a man ((left), smiling) and a (woman)", "a man ((left), smiling) and a (woman)"),
        ("[[a [[b]] c]] and [cat:dog:0.5]", "a b c and cat dog"),
        ("(tall (man))++", "(tall (man))++"),
        (
            '"((OPEN))" and \u201c(x:1.2)\u201d and "C++ wow++"',
            '"((OPEN))" and \u201c(x:1.2)\u201d and "C++ wow++"',
        ),
        ('(a sign that says "Hi (you)":1.3)', 'a sign that says "Hi (you)"'),
        (
            'a 12" (red:1.2) record and a 7" single [10:30:15]',
            'a 12" red record and a 7" single [10:30:15]',
        ),
        ("[ohwx] man (16:9) (iso:400) a--b", "[ohwx] man (16:9) (iso:400) a--b"),
    ],
)
def test_plain_keeps_the_words(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(TEXTS)
@example("(x" * 200 + ":1.1)" * 200)
@example("([[::0<LORA:>)]]")
@settings(max_examples=300, deadline=None)
def test_plain_is_idempotent_and_only_takes_away(text: str) -> None:
    once = plain(text)
    assert plain(once) == once
    assert len(once) <= len(text)
    if "<" not in once:  # advice looks past tags, which `generate` has taken out before
        assert "weight" not in codes(once) or once == text


@given(TEXTS, st.one_of(st.none(), st.just("ohwx"), st.text(max_size=5)), st.integers(0, 12))
@settings(max_examples=300, deadline=None)
def test_advice_stays_within_the_text_and_in_order(
    text: str, trigger: str | None, text_length: int
) -> None:
    found: list[Advice] = advise(text, trigger, count_words, text_length)
    assert all(0 <= item.start <= item.end <= len(text) for item in found)
    assert all(item.start < item.end or (item.start, item.end) == (0, 0) for item in found)
    assert [item.start for item in found] == sorted(item.start for item in found)


@pytest.mark.parametrize(
    "part",
    ["(", "((a", "'a", '"', "[[", "<lora:", " ", "no ", "a++", "(a:1", ",(", "((a))", "with a "],
)
def test_long_texts_of_one_piece_take_no_long_time(part: str) -> None:
    text = (part * 10_000)[:10_000]
    started = time.process_time()
    plain(text), advise(text, "ohwx")
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("token", "class_name", "expected"),
    [
        ("ohwx", "man", "ohwx man"),
        ("  ohwx, ", "\told  man,", "ohwx old man"),
        ("ohwx", "", "ohwx"),
        ("", "man", "man"),
        ("ohwx Man", "man", "ohwx Man"),
        ("ohwxman", "man", "ohwxman man"),
        ("ohwx", "ohwx person", "ohwx person"),
        ("ohwx", "OHWX  old man", "ohwx old man"),
        ("ohwx", "ohwxian man", "ohwx ohwxian man"),
        ("ohwx", "ohwx", "ohwx"),
        ("", " ", ""),
    ],
)
def test_trigger_words_are_tidied(token: str, class_name: str, expected: str) -> None:
    assert trigger_words(token, class_name) == expected


def test_a_class_loses_the_token_it_begins_with() -> None:
    assert class_word("ohwx", " ohwx  person") == "person" and class_word("", "person") == "person"
    assert (
        TrainSpec(class_name="ohwx person").trigger
        == trigger_words("ohwx", "ohwx person")
        == "ohwx person"
    )


def test_the_place_of_the_trigger_is_filled_in() -> None:
    assert (
        with_trigger("a photo of [Trigger], [trigger] smiles", r"oh\\wx man")
        == r"a photo of oh\\wx man, oh\\wx man smiles"
    )
