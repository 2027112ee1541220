"""What the shipped reader knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fluxbooth.models.attribute_reader import load_reader
from pretrain.attributes import of_grown_ups
from pretrain.data import Shard
from pretrain.reader import grown_ups
from tests.support.pretraining import ROWS


def test_the_shipped_reader_knows_what_grown_ups_show() -> None:
    known, shard = of_grown_ups(), Shard(np.arange(len(ROWS)), ROWS, Path("000-128x128.npy"))
    assert load_reader().attributes == known
    [kept] = grown_ups([shard])
    assert [ROWS[i] for i in kept.pictures] == kept.rows
    assert {row.answers()["kind"] for row in kept.rows} == {"man", "woman"}
    # of 600: half are men and women, of whom one in five wears a hat
    assert 200 < len(kept.rows) < 300
    for row in kept.rows:
        answers = row.answers()
        assert all(answers[name] in values for name, values in known.items() if name in answers)
        assert answers.keys() - known.keys() == {"hat", "number"}
