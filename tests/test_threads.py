from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fluxbooth import threads, train
from fluxbooth.generation.sampling import draw
from fluxbooth.models import loader
from fluxbooth.threads import Times
from tests.conftest import QUICK


@pytest.fixture(autouse=True)
def _nobody_said(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine of two cores where nobody said how many threads."""
    for name in threads.SAID:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "our_cores", lambda: {0, 1})
    monkeypatch.setattr(
        threads, "_State", type("_State", (), {"seen": None, "threads": 1, "most": None})
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def _others(monkeypatch: pytest.MonkeyPatch, *shares: float) -> None:
    """Each look is a second after the one before; meanwhile others took that much of our two
    cores, and we one."""
    idle = itertools.accumulate(1.0 - share for share in shares)
    times = iter([Times(100.0 + i, free, float(i)) for i, free in enumerate(idle)])
    monkeypatch.setattr(Times, "now", lambda: next(times))
    monkeypatch.setattr(threads, "LOOK", -1e9)
    monkeypatch.setattr(threads, "STALE", 1e9)


@pytest.mark.parametrize(
    ("idle", "ours", "most", "threads_"),
    [
        (10.0, 10.0, 2, 2),  # of twenty seconds of two cores in ten of the clock, none is others'
        (8.0, 10.0, 2, 2),  # a fifth of a core: a picture every now and then, the desktop
        (5.0, 10.0, 2, 1),
        (0.0, 10.0, 2, 1),
        (0.0, 2.0, 2, 1),  # others want more than there is: one all the same
        (20.0, 0.0, 1, 1),  # never more than torch had
    ],
)
def test_threads_are_as_many_as_cores_are_free(
    idle: float, ours: float, most: int, threads_: int
) -> None:
    before, now = Times(100.0, 50.0, 7.0), Times(110.0, 50.0 + idle, 7.0 + ours)
    assert threads.threads_for(before, now, most) == threads_


def test_the_system_counts_the_seconds_that_we_compute_and_that_cores_are_idle() -> None:
    before = Times.now()
    while Times.now().ours < before.ours + 0.05:
        pass
    now = Times.now()
    assert now.clock > before.clock and now.idle >= before.idle


def test_a_neighbour_takes_a_thread_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    _others(monkeypatch, 0.0, 0.0, 1.0, 2.0, 0.1)
    with threads.free_cores():
        seen = [torch.get_num_threads()]  # nothing is known yet
        for _ in range(4):
            threads.look()
            seen.append(torch.get_num_threads())
    assert seen == [1, 2, 1, 1, 2] and torch.get_num_threads() == 2


def test_between_two_looks_and_outside_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    _others(monkeypatch, 0.0)
    threads.look()
    assert torch.get_num_threads() == 2
    monkeypatch.setattr(threads, "LOOK", 1e9)
    with threads.free_cores():
        threads.look()  # a second one would ask for times that there are none of
        with threads.free_cores():
            assert torch.get_num_threads() == 1


def test_whoever_said_how_many_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    for context in (threads.free_cores, threads.one_thread):
        torch.set_num_threads(77)
        with context():
            threads.look()
            assert torch.get_num_threads() == 77
        torch.set_num_threads(2)
        with monkeypatch.context() as said:
            said.setenv("OMP_NUM_THREADS", "2")
            with context():
                threads.look()
                assert torch.get_num_threads() == 2
        with context():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2


def test_how_many_threads_there_are_changes_nothing_that_is_learnt_or_drawn(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A neighbour that comes and goes: a resumed run, and one on other cores, give the same."""
    drawing = loader.load("nano")
    told = drawing.encode_text(["a man"], 48)
    spec = QUICK.model_copy(update={"steps": 4})
    weights, pictures, seen = list[dict[str, Tensor]](), list[np.ndarray](), list[set[int]]()
    for name, count in (("one", [1]), ("two", [2]), ("changing", [1, 2])):
        numbers, used = itertools.cycle(count), set[int]()

        def look(numbers: Iterator[int] = numbers, used: set[int] = used) -> None:
            torch.set_num_threads(next(numbers))
            used.add(torch.get_num_threads())

        monkeypatch.setattr(threads, "look", look)
        weights.append(load_file(train(photos, spec, tmp_path / name).lora))
        pictures.append(np.asarray(draw(drawing, told, [0], (128, 128), 4, 3.5)[0], int))
        seen.append(used)
    assert seen == [{1}, {2}, {1, 2}]
    for other in weights[1:]:
        assert all(torch.equal(other[name], weight) for name, weight in weights[0].items())
    assert max(np.abs(picture - pictures[0]).max() for picture in pictures) <= 1
