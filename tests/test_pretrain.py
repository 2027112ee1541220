"""What nano learns from: captions must be true, and its judge must not be taught to look for a secret code."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fluxbooth import InputError
from pretrain import people, text, things, words
from pretrain.attributes import vocabulary
from pretrain.backgrounds import SCENES
from pretrain.judge import Judge, said_and_unsaid
from pretrain.people import Person, Shot
from pretrain.renders import Pair, Portrait, Still, from_json, to_json, training_row, with_rare_token

ROWS = [training_row(random.Random(f"row {i}")) for i in range(600)]


def test_a_row_is_the_same_after_its_way_through_json() -> None:
    assert {type(row) for row in ROWS} == {Portrait, Pair, Still}
    assert [from_json(*json.loads(json.dumps(to_json(row)))) for row in ROWS] == ROWS


def test_a_caption_names_nothing_that_is_not_in_the_picture() -> None:
    names = [*people.MOODS, "sleeping", *people.CLOTHES, *people.TOON_CLOTHES, "checked shirt", *things.THINGS]
    names += ["man", "woman", "boy", "girl"]
    names += [words.bare(hat) for hat in (*people.HATS, *people.PERSONA_HATS)] + ["glasses", "beard", "moustache", "eyepatch"]
    for row in ROWS:
        caption, truth = row.caption(random.Random("words")), json.dumps(to_json(row))
        for name in names:
            if re.search(rf"(?<![a-z-]){name}(?![a-z])", caption):
                assert name in truth, (name, caption)
        for name, phrase in SCENES.items():
            assert phrase not in caption or f'"{name}"' in truth, caption


def test_every_answer_is_a_word_of_the_vocabulary() -> None:
    values = vocabulary()
    for row in ROWS:
        assert all(value in values[name] for name, value in row.answers().items())


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
        "kind": "man", "hat": "a turban", "hat_colour": "pink", "clothes": "hoodie", "clothes_colour": "blue", "position": "left",
    }  # fmt: skip


def test_words_are_found_whole() -> None:
    woman = Portrait(Person("toon", "woman", "a bob", "black", "pale", "none", "none"), Shot("dress", "red", "sad", "city", "left", 1.0))
    assert woman.said("a woman with a black bobsleigh") == {"kind": "woman"}


@pytest.mark.parametrize("row", [next(row for row in ROWS if isinstance(row, kind)) for kind in (Portrait, Pair)], ids=["portrait", "pair"])
@pytest.mark.parametrize("size", [(128, 128), (96, 176)])
def test_a_head_is_where_its_box_says(row: Portrait | Pair, size: tuple[int, int]) -> None:
    drawn = np.asarray(row.draw(*size, random.Random(0)), dtype=int)
    for left, top, right, bottom in row.heads(*size):
        x, y = round(min(size[0] - 1, max(0, (left + right) / 2))), round((top + bottom) / 2)
        corner = drawn[0, 0]
        assert abs(drawn[min(y, size[1] - 1), x] - corner).sum() > 30  # a face, not the wall behind it


def test_captions_are_short_enough_and_hold_rare_tokens_now_and_then() -> None:
    _, t5 = text.tokenizers()
    rng = random.Random(1)
    captions = [with_rare_token(row.caption(rng), row, rng, text.RARE_TOKENS) for row in ROWS]
    assert 0.05 < sum(any(token in caption for token in text.RARE_TOKENS) for caption in captions) / len(captions) < 0.25
    assert max(len(t5(caption).input_ids) for caption in captions) <= text.TEXT_LENGTH
    assert t5.unk_token_id not in t5(" ".join(captions)).input_ids


def test_new_words_come_after_the_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as fewer:
        fewer.setattr(text, "_captions", lambda: ["a man with a red beard"] * 60 + text.PLAIN_LETTERS)
        clip, t5 = text.tokenizers()
    old = {tokenizer: tokenizer.get_vocab() for tokenizer in (clip, t5)}
    sentence = "a man with a red beard"
    before = clip(sentence).input_ids, t5(sentence).input_ids
    more_clip, more_t5 = text.extended(clip, t5)
    assert old[t5].items() <= more_t5.get_vocab().items()
    assert (more_clip(sentence).input_ids, more_t5(sentence).input_ids) == before
    assert "\u2581pigtails" in more_t5.tokenize("a girl with pigtails")


def test_what_is_said_and_what_is_not_are_all_that_can_be_seen() -> None:
    row = Portrait(Person("avatar", "man", "an afro", "red", "tan", "none", "a beard"), Shot("hoodie", "blue", "sad", "beach", "left", 1.0))
    [said, nothing], [unsaid, everything] = said_and_unsaid([row, row], ["man with a beard, sad", ""])
    assert said == {"kind": "man", "beard": "a beard", "mood": "sad"}
    assert not said.keys() & unsaid.keys()  # else the two could agree on a code
    assert said | unsaid == row.answers() == everything
    assert nothing == {}


def test_the_judge_hears_of_named_attributes_alone() -> None:
    torch.manual_seed(0)
    judge = Judge()
    z = torch.randn(2, 64, 64, requires_grad=True)
    judge.loss(z, (16, 16), [{"mood": "sad"}, {}]).backward()
    assert z.grad is not None
    assert z.grad[0].abs().sum() > 0
    assert z.grad[1].abs().sum() == 0
    assert judge.heads["mood"].weight.grad is not None
    assert float(judge.heads["hair"].weight.grad.abs().sum()) == 0  # type: ignore[union-attr]


def test_npm_is_asked_for_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(things, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"^npm is not installed, .*: install Node\.js\.$"):
        things.install()
