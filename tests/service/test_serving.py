"""The server as a process: how it stops, and how it looks after its engine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fluxbooth.engine import liveness
from fluxbooth.engine import supervisor as module
from fluxbooth.engine.supervisor import Supervisor
from fluxbooth.service.db import database
from fluxbooth.service.settings import Settings
from fluxbooth.web.app import create_app
from tests.support.installation import Installation
from tests.support.server import PATIENCE, Server, until


def test_a_server_that_is_asked_to_stop_as_soon_as_it_speaks_stops(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    command = [
        sys.executable,
        "-m",
        "fluxbooth",
        "serve",
        "--data",
        str(server.data),
        "--port",
        str(server.port),
    ]
    with subprocess.Popen(
        command, env=server.environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr
        assert "listens on" in next(process.stderr)
        process.terminate()
        try:
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0 and "Traceback" not in said


def test_a_live_page_ends_with_the_server(own_server: Server) -> None:
    tune = own_server.new_tune("live", branch="flux1", steps="5000")
    with own_server.http.stream(
        "GET", f"/tunes/{tune['id']}/progress", headers={"Accept": "text/event-stream"}
    ) as page:
        lines = page.iter_lines()
        assert next(lines).startswith("data: ")
        own_server.stop()
        # to a proper end: a cut one would raise
        assert all(not line or line.startswith("data: ") for line in lines)
    assert (
        "Traceback" not in own_server.log.read_text() and "Cancel" not in own_server.log.read_text()
    )


def test_an_engine_that_falls_silent_is_said_to_be_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(data=tmp_path / "data")
    database.migrate(settings)
    supervisor = Supervisor(settings)
    supervisor.start()
    try:
        until(lambda: supervisor.silence.spoke, "the engine speaks")
        first = supervisor.process
        assert first is not None and supervisor.state() == "runs"
        monkeypatch.setattr(liveness, "LATE_AFTER", 2.0)
        os.kill(first.pid, signal.SIGSTOP)
        until(lambda: supervisor.state() == "silent", "its silence is noticed")
        monkeypatch.setattr(liveness, "SILENT_AFTER", 5.0)
        until(
            lambda: supervisor.process is not first and supervisor.silence.spoke,
            "there is another engine",
        )
        monkeypatch.setattr(liveness, "SILENT_AFTER", 300.0)
        monkeypatch.setattr(module, "STOPS_WITHIN", 0.1)
        second = supervisor.process
        assert second is not None
        # it cannot hear that it should end, and must not be left behind
        os.kill(second.pid, signal.SIGSTOP)
    finally:
        supervisor.stop()
    until(lambda: second.poll() is not None, "the engine is gone")
    said = [
        line for line in capfd.readouterr().err.splitlines() if '"event": "engine silent"' in line
    ]
    assert len(said) >= 2 and '"then": "killed"' in said[-1]


@pytest.mark.parametrize("state", ["silent", "stopped"])
def test_a_server_is_not_ready_without_its_engine(installation: Installation, state: str) -> None:
    with TestClient(create_app(installation.settings, threading.Event(), lambda: state)) as client:  # type: ignore[arg-type]
        assert client.get("/health").status_code == 200
        answer = client.get("/ready")
        assert answer.status_code == 503 and state in answer.json()["error"].replace(
            "does not run", "stopped"
        )
    with TestClient(create_app(installation.settings)) as client:
        assert client.get("/ready").status_code == 200
