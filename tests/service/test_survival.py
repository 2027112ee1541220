"""Whatever is killed, and whenever: accepted work is neither lost nor done twice, and nobody is
told twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxbooth import InputError
from fluxbooth.engine import worker
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Prompt, Tune
from tests.support.server import Receiver, Server, until
from tests.support.survival import PRICES, open_jobs, progress, survive


@pytest.fixture
def dear_server(tmp_path: Path) -> Iterator[Server]:
    """A server to be killed, on which only trials are free."""
    with Server(tmp_path / "data", prices=PRICES) as server:
        yield server


def test_four_kills(dear_server: Server, receiver: Receiver) -> None:
    survive(dear_server, receiver, kills=4, seed=1)


@pytest.mark.slow
def test_two_hundred_kills(dear_server: Server, receiver: Receiver) -> None:
    survive(dear_server, receiver, kills=200, seed=2)


def test_a_cancel_frees_the_device(server: Server) -> None:
    long = server.new_tune("long", branch="flux1", steps="5000")
    until(lambda: server.http.get(f"/tunes/{long['id']}/progress").json().get("step"), "it trains")
    server.http.post(f"/tunes/{long['id']}/cancel").raise_for_status()
    cancelled = server.tune(long["id"])
    assert cancelled["user_error"] == "The training was cancelled."
    short = server.finished_tune(server.new_tune("short", steps="5")["id"])
    process = server.device_process()
    assert server.finished_tune(server.new_tune("another", steps="5")["id"])["trained_at"]
    # the base stays from one job to the next
    assert server.device_process() == process and short["trained_at"]
    assert server.tune(long["id"])["trained_at"] is None


def test_a_child_that_dies_three_times_fails_its_job_with_a_reason(server: Server) -> None:
    tune = server.new_tune("doomed", branch="flux1", steps="5000", prompts=0)
    for _ in range(3):
        until(server.device_process, "a device process works")
        before = server.device_process()
        assert before is not None
        until(lambda: server.tune(tune["id"])["started_training_at"], "it trains")
        os.kill(before, signal.SIGKILL)
        until(lambda before=before: server.device_process() != before, "the dead process is gone")
    failed = server.finished_tune(tune["id"])
    assert "died 3 times" in failed["user_error"] and failed["trained_at"] is None
    assert server.finished_tune(server.new_tune("next")["id"])["trained_at"]


def test_a_fork_server_that_is_killed_is_no_fault_of_its_job(server: Server) -> None:
    tune = server.new_tune("innocent", branch="flux1", steps="30")
    until(lambda: server.http.get(f"/tunes/{tune['id']}/progress").json().get("step"), "it trains")
    before = server.fork_server()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: server.fork_server() not in (None, before), "there is another fork server")
    with Database(f"sqlite:///{server.data}/fluxbooth.sqlite").read() as session:
        assert session.get_one(Tune, tune["id"]).deaths == 0
    assert server.finished_tune(tune["id"])["trained_at"]


def test_a_picture_is_drawn_beside_a_training_and_a_death_there_is_no_fault_of_it(
    server: Server,
) -> None:
    long = server.new_tune("long", branch="flux1", steps="5000")["id"]

    def step() -> Any:
        return server.http.get(f"/tunes/{long}/progress").json().get("step")

    def ask(**fields: int) -> int:
        asked = {"text": "a man at the beach", "seed": 1, **fields}
        return server.http.post("/prompts", json=asked).raise_for_status().json()["id"]

    until(step, "it trains")
    process, before = server.device_process(), step()
    estimate = server.http.get("/estimates/prompt").json()
    assert estimate["waits_seconds"] == 0
    assert server.finished_prompt(ask(steps=4))["images"]
    until(lambda: step() != before, "it goes on")
    assert server.device_process() == process
    slow = ask(steps=50)
    until(lambda: server.prompt(slow)["started_training_at"], "the picture is begun")
    server.kill("device process")
    assert server.finished_prompt(slow)["images"]
    with server.database.read() as session:
        assert session.get_one(Tune, long).deaths == 0
        assert session.get_one(Prompt, slow).deaths == 1
    assert server.tune(long)["trained_at"] is None
    server.http.post(f"/tunes/{long}/cancel").raise_for_status()


def test_sigterm_lets_a_training_write_a_checkpoint_and_the_next_server_goes_on(
    own_server: Server,
) -> None:
    tune = own_server.new_tune("interrupted", branch="flux1", steps="30")
    until(
        lambda: own_server.http.get(f"/tunes/{tune['id']}/progress").json().get("step"), "it trains"
    )
    own_server.kill("device process")
    database = Database(f"sqlite:///{own_server.data}/fluxbooth.sqlite")
    until(lambda: open_jobs(database) == [1], "the death is counted")
    before = progress(database)
    until(lambda: progress(database) != before, "it trains again")
    own_server.stop()
    checkpoints = [
        path for path in own_server.files(f"tunes/{tune['id']}") if "/work/run/step-" in str(path)
    ]
    assert checkpoints  # the first regular one would be at step 100
    assert open_jobs(database) == [0]  # it got further, so what died before is forgiven
    own_server.start()
    assert own_server.finished_tune(tune["id"])["trained_at"]


def test_a_deleted_tune_stays_deleted_though_it_was_training(server: Server) -> None:
    tune = server.new_tune("gone", branch="flux1", steps="5000")
    until(lambda: server.http.get(f"/tunes/{tune['id']}/progress").json().get("step"), "it trains")
    server.http.delete(f"/tunes/{tune['id']}").raise_for_status()
    assert server.http.get(f"/tunes/{tune['id']}").status_code == 404
    # so the deleted one has ended
    assert server.finished_tune(server.new_tune("after")["id"])["trained_at"]
    until(lambda: not server.files(f"tunes/{tune['id']}"), "its files are gone")


def test_a_second_engine_on_the_same_folder_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LOCK_WITHIN", 0.0)
    with pytest.raises(InputError, match="Another engine works on"):
        worker.lock(server.data)
