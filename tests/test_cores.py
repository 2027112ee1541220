from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from fluxbooth import cores


@pytest.fixture(autouse=True)
def _nobody_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*cores.WAITING, *cores.THREADS):
        monkeypatch.delenv(name, raising=False)


def test_torch_is_told_to_spin_briefly() -> None:
    told = {**os.environ, "OMP_DISPLAY_ENV": "verbose"}
    done = subprocess.run([sys.executable, "-c", "import fluxbooth, torch"], env=told, capture_output=True, text=True, check=True)
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this torch has another OpenMP than GNU's")
    assert "GOMP_SPINCOUNT = '5000'" in done.stderr


def test_whoever_said_how_to_wait_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    cores.spin_briefly()
    assert cores.SPIN not in os.environ  # torch is loaded here: too late, and not to be told to programs that are started later
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    cores.spin_briefly()
    assert cores.SPIN not in os.environ
    monkeypatch.delenv("OMP_WAIT_POLICY")
    cores.spin_briefly()
    assert os.environ[cores.SPIN] == cores.ROUNDS
    monkeypatch.delenv(cores.SPIN)


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
