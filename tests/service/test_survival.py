"""Whatever is killed, and whenever: accepted work is neither lost nor done twice, and nobody is
told twice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from fluxbooth import InputError
from fluxbooth.engine import worker
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Callback, Image, Prompt, Tune
from fluxbooth.service.transitions import MOST_DEATHS
from tests.support.server import FEW, Receiver, Server, pictures, until
from tests.support.walking import unmatched

VICTIMS = ("device process", "api", "all", "engine", "device process", "all", "api", "engine")
# every so many kills, one waits until something gets further; between them they come while a
# process starts
MID_WORK = 7


def survive(server: Server, receiver: Receiver, kills: int, seed: int) -> None:
    """Kills at random moments under mixed load, then waits until everything that was accepted
    is finished, and counts."""
    rng = random.Random(seed)
    tunes: list[int] = []
    prompts: list[int] = []
    database = Database(f"sqlite:///{server.data}/fluxbooth.sqlite")

    def accept(title: str) -> None:
        tune = server.new_tune(
            title, prompts=2, callback=receiver.url + "/done?user=7&x=%2F", steps="12"
        )
        tunes.append(tune["id"])
        prompts.extend(prompt["id"] for prompt in tune["prompts"])

    troubled = Trouble(server)
    for number in range(kills):
        if number % MID_WORK == 0 or not open_jobs(database):
            accept(f"tune {number}")
        if number % MID_WORK == 0:
            before = progress(database)
            until(lambda before=before: progress(database) != before, "something gets further")
        time.sleep(rng.uniform(0, 1.5))  # the moment of the kill is what varies
        victim = VICTIMS[number % len(VICTIMS)]
        # one more would rightly fail that job
        struck_out = any(deaths >= MOST_DEATHS - 1 for deaths in open_jobs(database))
        server.kill("engine" if victim == "device process" and struck_out else victim)
    troubled.end()
    for tune in tunes:
        assert server.finished_tune(tune).get("user_error") is None, tune
    for prompt in prompts:
        shown = server.finished_prompt(prompt)
        assert shown["user_error"] is None
        assert len(shown["images"]) == shown["num_images"]
        assert all(
            httpx.get(url).headers["content-type"] == "image/jpeg" for url in shown["images"]
        )
    expected = len(tunes) + len(prompts)
    until(lambda: delivered(database) == expected, "every callback is delivered")
    told = Counter(
        (kind, body[kind]["id"])
        for _, _, body in receiver.got
        for kind in ("tune", "prompt")
        if kind in body
    )
    messages = {(headers["webhook-id"], path) for headers, path, _ in receiver.got}
    # one message about each; a repeated one keeps its id
    assert len(told) == len(messages) == expected
    with database.read() as session:
        assert session.scalar(select(func.count(Image.id))) == len(prompts)
    server.stop()
    server.start()  # what a kill left goes when an engine starts
    until(
        lambda: unmatched(database, server.data) == ([], []),
        "there is no file without its row, and no row without its file",
    )


class Trouble:
    """A client that is refused after its photos arrived (422, 402), and that deletes what it
    made, again and again, however it ends."""

    def __init__(self, server: Server) -> None:
        self.server, self.over, self.met = server, threading.Event(), Counter[int]()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def end(self) -> None:
        self.over.set()
        self.thread.join()
        assert {201, 402, 422} <= set(self.met), self.met

    def _run(self) -> None:
        form = {
            "tune[title]": "doomed",
            "tune[name]": "man",
            "tune[branch]": "fast",
            "tune[steps]": FEW,
        }
        refusals = (
            {"tune[prompts_attributes][0][text]": "<lora:nobody:1> sks man"},
            {"tune[branch]": "flux1"},
        )
        while not self.over.is_set() or not {201, 402, 422} <= set(self.met):
            headers = {"Authorization": f"Bearer {self.server.key}"}
            client = httpx.Client(
                base_url=f"http://127.0.0.1:{self.server.port}", headers=headers, timeout=60
            )
            with contextlib.suppress(httpx.HTTPError), client:
                for changed in (*refusals, {}):
                    self.met[
                        client.post("/tunes", data=form | changed, files=pictures(2)).status_code
                    ] += 1
                for tune in (
                    client.get("/tunes", params={"title": "doomed"}).raise_for_status().json()
                ):
                    client.delete(f"/tunes/{tune['id']}")
            self.over.wait(0.2)
        for tune in (
            self.server.http.get("/tunes", params={"title": "doomed"}).raise_for_status().json()
        ):
            self.server.http.delete(f"/tunes/{tune['id']}").raise_for_status()


def progress(database: Database) -> list[object]:
    """Changes when a step is trained, a tune or a prompt finished; not when a job merely starts
    again."""
    with database.read() as session:
        steps = session.scalars(select(Tune.progress).order_by(Tune.id)).all()
        return [
            *steps,
            session.scalar(select(func.count(Tune.trained_at))),
            session.scalar(select(func.count(Prompt.trained_at))),
        ]


def open_jobs(database: Database) -> list[int]:
    """How often its process died on each of the jobs that are not finished."""
    with database.read() as session:
        return [
            deaths
            for kind in (Tune, Prompt)
            for deaths in session.scalars(select(kind.deaths).where(kind.trained_at.is_(None)))
        ]


def delivered(database: Database) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).where(Callback.delivered_at.is_not(None))) or 0


@pytest.fixture
def dear_server(tmp_path: Path) -> Iterator[Server]:
    """A server to be killed, on which only trials are free."""
    with Server(tmp_path / "data", prices='{"step": {"none": 100}}') as server:
        yield server


def test_twenty_kills(dear_server: Server, receiver: Receiver) -> None:
    survive(dear_server, receiver, kills=20, seed=1)


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
