"""The layout is kept: what may be imported where, and that an algorithm is read in one place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pretrain.people import HELD_OUT, Person, Shot, is_held_out
from pretrain.renders import Pair, Still, training_row

SOURCE = Path(__file__).parent.parent / "src" / "fluxbooth"


@pytest.mark.parametrize(
    "module",
    [
        "cli.main",
        "specs",
        "prompts.language",
        "photos.inspection",
        "photos.decoder",
        "lora.file",
        "models.registry",
        "base_selection",
        "cli.options",
        "cli.progress",
        "web.http.body",
        "web.app",
        "service.outgoing.webhooks",
    ],
)
def test_what_looks_and_asks_does_not_load_torch(module: str) -> None:
    script = f"import json, sys, fluxbooth.{module}; print(json.dumps('torch' in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) is False


def test_held_out_people_and_clothes_are_never_trained_on() -> None:
    import random

    rng = random.Random(0)
    people = {Person(**row).key for row in HELD_OUT["people"]}
    assert len(people) == 24
    for _ in range(5000):
        match training_row(rng):
            case Still(style, thing):
                assert f"{style} {thing}" not in HELD_OUT["things"]
                portraits = []
            case Pair(left, right):
                portraits = [left, right]
            case row:
                portraits = [row]
        for portrait in portraits:
            assert portrait.person.key not in people
            assert (
                f"{portrait.shot.clothes_colour} {portrait.shot.clothes}" not in HELD_OUT["clothes"]
            )
    held = Person(**HELD_OUT["people"][0])
    assert is_held_out(held, Shot("t-shirt", "red", "sad", "white", "left", 1.0))
