from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fluxbooth import threads as cores
from fluxbooth import train
from fluxbooth.generation.sampling import draw
from fluxbooth.models import loader
from tests.conftest import QUICK


@pytest.fixture(autouse=True)
def _nobody_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*cores.WAITING, *cores.THREADS):
        monkeypatch.delenv(name, raising=False)


def test_torch_is_told_to_wait_asleep() -> None:
    told = {**os.environ, "OMP_DISPLAY_ENV": "verbose"}
    done = subprocess.run(
        [sys.executable, "-c", "import fluxbooth, torch"],
        env=told,
        capture_output=True,
        text=True,
        check=True,
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this torch has another OpenMP than GNU's")
    assert "GOMP_SPINCOUNT = '0'" in done.stderr


def test_whoever_said_how_to_wait_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    cores.wait_asleep()
    # torch is loaded here: too late, and not to be told to programs that are started later
    assert cores.WAIT not in os.environ
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("GOMP_SPINCOUNT", "9")
    cores.wait_asleep()
    assert cores.WAIT not in os.environ
    monkeypatch.delenv("GOMP_SPINCOUNT")
    cores.wait_asleep()
    assert os.environ[cores.WAIT] == "passive"
    del os.environ[cores.WAIT]


def test_one_thread_unless_somebody_said_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    ours, unusual = max(filter(None, cores._defaults())), 77
    try:
        torch.set_num_threads(ours)
        with cores.one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == ours
        torch.set_num_threads(unusual)
        with cores.one_thread():
            assert torch.get_num_threads() == unusual
        torch.set_num_threads(ours)
        monkeypatch.setenv("OMP_NUM_THREADS", "4")
        with cores.one_thread():
            assert torch.get_num_threads() == ours
    finally:
        torch.set_num_threads(before)


def test_nano_is_worth_one_thread_and_pictures_drawn_together_are_worth_all(
    photos: Path, tmp_path: Path
) -> None:
    before, ours = torch.get_num_threads(), max(filter(None, cores._defaults()))
    seen: list[int] = []
    drawing = loader.load("nano")
    told = drawing.encode_text(["a man"], 48)
    drawing.pipeline("text").transformer.register_forward_pre_hook(
        lambda *_: seen.append(torch.get_num_threads())
    )
    try:
        torch.set_num_threads(ours)
        for seeds, threads in (([0], 1), ([0, 1], ours)):
            seen.clear()
            draw(drawing, told, seeds, (128, 128), 1, 3.5)
            assert set(seen) == {threads}
        seen.clear()
        spec = QUICK.model_copy(update={"steps": 1})
        train(
            photos,
            spec,
            tmp_path / "run",
            lambda event: (
                seen.append(torch.get_num_threads()) if event["event"] == "step" else None
            ),
        )
        assert set(seen) == {1} and torch.get_num_threads() == ours
    finally:
        torch.set_num_threads(before)
