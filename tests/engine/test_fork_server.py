from __future__ import annotations

import io
import os
import select

import pytest

from fluxbooth.engine import device_process, fork_server
from fluxbooth.process_lifetime import PARENT


def test_libraries_that_ask_for_a_gpu_start_nothing_that_would_not_bear_a_fork(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch is told to ask the driver's own library, before anything imports it."""
    seen = list[str | None]()

    def imported(_: str) -> None:
        seen.append(os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK"))

    monkeypatch.setenv(PARENT, "")
    monkeypatch.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "")
    monkeypatch.delenv("PYTORCH_NVML_BASED_CUDA_CHECK")
    monkeypatch.setattr(fork_server, "die_with_parent", lambda _: None)
    monkeypatch.setattr(device_process, "pipe", io.StringIO)
    monkeypatch.setattr(fork_server.importlib, "import_module", imported)
    monkeypatch.setattr(fork_server.gc, "freeze", lambda: None)
    monkeypatch.setattr(select, "select", lambda *_: None)
    monkeypatch.setattr(fork_server, "_life", lambda _: 0)
    fork_server.main()
    assert seen == ["1"] * len(fork_server.NEEDED)
