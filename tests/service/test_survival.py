"""Whatever is killed, and whenever: accepted work is neither lost nor done twice, and nobody is told twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import httpx
import pytest
from sqlalchemy import func, select

from fluxbooth.service.db import Database
from fluxbooth.service.tables import Callback, Image
from tests.service.server import PATIENCE, Receiver, Server, until

# a job may lose its child twice, so that one comes seldom
VICTIMS = ("child", "engine", "all", "api", "engine", "api", "all", "engine")


def survive(server: Server, receiver: Receiver, kills: int, seed: int) -> None:
    """Kills at random moments under mixed load, then waits until everything that was accepted is finished, and counts."""
    rng = random.Random(seed)
    tunes: list[int] = []
    prompts: list[int] = []

    def accept(title: str) -> None:
        tune = server.new_tune(title, prompts=2, callback=receiver.url + "/done?user=7&x=%2F")
        tunes.append(tune["id"])
        prompts.extend(prompt["id"] for prompt in tune["prompts"])

    for number in range(kills):
        if number % 4 == 0 or idle(server, tunes, prompts):
            accept(f"tune {number}")
        busy = progress(server, tunes, prompts)
        until(lambda busy=busy: progress(server, tunes, prompts) != busy, "something goes on")
        time.sleep(rng.uniform(0, 1.5))  # the moment of the kill is what varies
        server.kill(VICTIMS[number % len(VICTIMS)])
    for tune in tunes:
        assert server.finished_tune(tune).get("user_error") is None, tune
    for prompt in prompts:
        shown = server.finished_prompt(prompt)
        assert shown["user_error"] is None
        assert len(shown["images"]) == shown["num_images"]
        assert all(httpx.get(url).headers["content-type"] == "image/jpeg" for url in shown["images"])
    expected = len(tunes) + len(prompts)
    until(lambda: delivered(server) == expected, "every callback is delivered")
    told = Counter((kind, body[kind]["id"]) for _, _, body in receiver.got for kind in ("tune", "prompt") if kind in body)
    messages = {(headers["webhook-id"], path) for headers, path, _ in receiver.got}
    assert len(told) == len(messages) == expected  # one message about each; a repeated one keeps its id
    with Database(f"sqlite:///{server.data}/fluxbooth.sqlite").read() as session:
        assert session.scalar(select(func.count(Image.id))) == len(prompts)


def progress(server: Server, tunes: list[int], prompts: list[int]) -> list[object]:
    """Changes when a step is trained, a tune or a prompt finished; not when a job merely starts again."""
    open_tune = next((server.http.get(f"/tunes/{t}/progress").json() for t in tunes if not server.tune(t)["trained_at"]), None)
    done = sum(bool(server.prompt(prompt)["trained_at"]) for prompt in prompts)
    return [open_tune, done]


def idle(server: Server, tunes: list[int], prompts: list[int]) -> bool:
    return all(server.tune(tune)["trained_at"] for tune in tunes) and all(server.prompt(prompt)["trained_at"] for prompt in prompts)


def delivered(server: Server) -> int:
    with Database(f"sqlite:///{server.data}/fluxbooth.sqlite").read() as session:
        return session.scalar(select(func.count()).where(Callback.delivered_at.is_not(None))) or 0


def test_twenty_kills(own_server: Server, receiver: Receiver) -> None:
    survive(own_server, receiver, kills=20, seed=1)


@pytest.mark.slow
def test_two_hundred_kills(own_server: Server, receiver: Receiver) -> None:
    survive(own_server, receiver, kills=200, seed=2)


def test_a_cancel_frees_the_device_and_the_base_stays(own_server: Server) -> None:
    long = own_server.new_tune("long", branch="flux1", steps="5000")
    until(lambda: own_server.http.get(f"/tunes/{long['id']}/progress").json().get("step"), "it trains")
    child = own_server.child()
    own_server.http.post(f"/tunes/{long['id']}/cancel").raise_for_status()
    cancelled = own_server.tune(long["id"])
    assert cancelled["user_error"] == "The training was cancelled."
    short = own_server.new_tune("short")
    assert own_server.finished_tune(short["id"])["trained_at"]
    assert own_server.child() == child  # the very process that trained the long one: it stopped at once, and kept its base
    assert own_server.tune(long["id"])["trained_at"] is None


def test_a_child_that_dies_three_times_fails_its_job_with_a_reason(own_server: Server) -> None:
    tune = own_server.new_tune("doomed", branch="flux1", steps="5000", prompts=0)
    for _ in range(3):
        until(own_server.child, "a child works")
        before = own_server.child()
        assert before is not None
        until(lambda: own_server.tune(tune["id"])["started_training_at"], "it trains")
        os.kill(before, signal.SIGKILL)
        until(lambda before=before: own_server.child() != before, "the dead child is gone")
    failed = own_server.finished_tune(tune["id"])
    assert "died 3 times" in failed["user_error"] and failed["trained_at"] is None
    assert own_server.finished_tune(own_server.new_tune("next")["id"])["trained_at"]


def test_sigterm_lets_a_training_write_a_checkpoint_and_the_next_server_goes_on(own_server: Server) -> None:
    tune = own_server.new_tune("interrupted", branch="flux1", steps="60")
    until(lambda: own_server.http.get(f"/tunes/{tune['id']}/progress").json().get("step"), "it trains")
    own_server.stop()
    checkpoints = list((own_server.data / "files").glob(f"tunes/{tune['id']}/work/run/step-*"))
    assert checkpoints  # the first regular one would be at step 100
    own_server.start()
    assert own_server.finished_tune(tune["id"])["trained_at"]


def test_a_deleted_tune_stays_deleted_though_it_was_training(own_server: Server) -> None:
    tune = own_server.new_tune("gone", branch="flux1", steps="5000")
    until(lambda: own_server.http.get(f"/tunes/{tune['id']}/progress").json().get("step"), "it trains")
    own_server.http.delete(f"/tunes/{tune['id']}").raise_for_status()
    assert own_server.http.get(f"/tunes/{tune['id']}").status_code == 404
    assert own_server.finished_tune(own_server.new_tune("after")["id"])["trained_at"]  # so the deleted one has ended
    until(lambda: not (own_server.data / "files" / "tunes" / str(tune["id"])).exists(), "its files are gone")


def test_a_second_engine_on_the_same_folder_is_refused(own_server: Server) -> None:
    assert PATIENCE > 20
    other = Server(own_server.data)
    other.start()
    other_log = other.log
    until(lambda: "Another engine works on" in other_log.read_text(), "the second engine says why it does not start")
    other.stop()
