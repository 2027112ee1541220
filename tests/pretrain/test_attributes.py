"""Answers of the critic are words of its vocabulary."""

from __future__ import annotations

from pretrain.attributes import vocabulary
from tests.support.pretraining import ROWS


def test_every_answer_is_a_word_of_the_vocabulary() -> None:
    values = vocabulary()
    for row in ROWS:
        assert all(value in values[name] for name, value in row.answers().items())
