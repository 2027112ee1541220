"""Captions as the text encoders read them."""

from __future__ import annotations

import random

import pytest
from transformers import CLIPTokenizer

from fluxbooth.models.flux1.bases import NANO
from pretrain import text
from pretrain.renders import with_rare_token
from tests.support.pretraining import ROWS


def test_captions_are_short_enough_and_hold_rare_tokens_now_and_then() -> None:
    _, t5 = text.tokenizers()
    rng = random.Random(1)
    captions = [with_rare_token(row.caption(rng), row, rng, text.RARE_TOKENS) for row in ROWS]
    sentences = [row.caption(rng, prose=True) for row in ROWS]
    assert (
        0.05
        < sum(any(token in caption for token in text.RARE_TOKENS) for caption in captions)
        / len(captions)
        < 0.25
    )
    assert max(len(t5(caption).input_ids) for caption in captions) <= text.PHRASES_LENGTH
    assert max(len(t5(caption).input_ids) for caption in sentences) <= text.TEXT_LENGTH
    assert min(len(caption.split()) for caption in captions) == 1
    assert 50 <= max(len(caption.split()) for caption in sentences) <= 60
    assert t5.unk_token_id not in t5(" ".join(captions + sentences)).input_ids


def test_what_clip_does_not_know_does_not_end_what_it_reads() -> None:
    clip, t5 = text.tokenizers()
    shipped = CLIPTokenizer.from_pretrained(NANO / "tokenizer")
    assert shipped.unk_token == text.UNKNOWN
    assert shipped("a man, a hat").input_ids[3] == shipped.unk_token_id  # an ordinary comma
    for tokenizer in (clip, text.extended(shipped, t5)[0]):
        for mark in (*text.PUNCTUATION, " at the café", " 漢字", " 😀"):
            ids = tokenizer(f"a man{mark} a hat").input_ids
            assert ids.index(tokenizer.eos_token_id) == len(ids) - 1, mark


def test_new_words_come_after_the_old_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as fewer:
        fewer.setattr(
            text, "_captions", lambda: ["a man with a red beard"] * 60 + text.PLAIN_LETTERS
        )
        clip, t5 = text.tokenizers()
    old = {tokenizer: tokenizer.get_vocab() for tokenizer in (clip, t5)}
    sentence = "a man with a red beard"
    before = clip(sentence).input_ids, t5(sentence).input_ids
    more_clip, more_t5 = text.extended(clip, t5)
    assert old[t5].items() <= more_t5.get_vocab().items()
    assert (more_clip(sentence).input_ids, more_t5(sentence).input_ids) == before
    assert "\u2581pigtails" in more_t5.tokenize("a girl with pigtails")
