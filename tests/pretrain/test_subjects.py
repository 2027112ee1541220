"""Subjects of the figures."""

from __future__ import annotations

import random

import pytest

from pretrain.subjects import subject


@pytest.mark.parametrize("kind", ["people", "styles"])
@pytest.mark.parametrize("number", range(3))
def test_a_subject_of_the_figures_is_one_thing_whatever_is_drawn(kind: str, number: int) -> None:
    chosen, rng = subject(kind, number), random.Random(7)
    for _ in range(20):
        row = chosen.photo(rng)
        assert row.draw(64, 64, rng).size == (64, 64)
        answers = row.answers()
        assert {name: answers[name] for name in chosen.identity} == chosen.identity
        text, wish = chosen.prompt(rng)
        assert text.startswith("ohwx ")
        assert not wish.keys() & chosen.identity.keys()
