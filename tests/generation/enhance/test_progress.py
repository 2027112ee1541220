"""Long steps say how far they are, and short ones nothing."""

from __future__ import annotations

import itertools

import pytest
from PIL import Image

from fluxbooth.events import Enhancing
from fluxbooth.generation.enhance import progress
from fluxbooth.generation.enhance.progress import Progress
from fluxbooth.generation.enhance.upscaling import upscale
from fluxbooth.models.enlarging import FAST


def test_every_tile_is_told() -> None:
    told: list[tuple[int, int]] = []
    upscale(Image.new("RGB", (100, 70)), 2, network=FAST, tile=64, tell=lambda *at: told.append(at))
    assert told == [(done, len(told)) for done in range(1, len(told) + 1)] and len(told) > 3


def clock(monkeypatch: pytest.MonkeyPatch, each: float) -> None:
    times = itertools.count(0.0, each)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))


def test_the_time_left_is_that_of_the_parts_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, 2.0)
    heard: list[Enhancing] = []
    tell = Progress("super_resolution", heard.append)
    for done in range(1, 5):
        tell(done, 4)
    assert [event["seconds_left"] for event in heard] == [6.0, 4.0, 2.0, 0.0]
    tell(1, 3)  # once more over the same picture
    assert heard[-1]["seconds_left"] == 4.0 and heard[-1]["step"] == "super_resolution"


def test_a_step_of_a_moment_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, 0.1)
    heard: list[Enhancing] = []
    tell = Progress("faces", heard.append)
    for done in range(1, 6):
        tell(done, 5)
    assert heard == []
