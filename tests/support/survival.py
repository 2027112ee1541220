"""Kills under load: accepted work, refusals and deletions go on while processes are killed, and in
the end everything is counted."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass

import httpx
from sqlalchemy import func, select

from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Callback, Image, Prompt, Tune
from fluxbooth.service.transitions import MOST_DEATHS
from tests.support.server import FEW, Json, Receiver, Server, pictures, until
from tests.support.walking import Walk, walk

VICTIMS = ("device process", "api", "all", "engine", "device process", "all", "api", "engine")
# every so many kills, one waits until something gets further; between them they come while a
# process starts
MID_WORK = 7
# on which only trials are free: a training of another branch is refused with 402
PRICES = '{"step": {"none": 100}}'


@dataclass(frozen=True)
class Survived:
    """What was killed, asked for and found: all of it was asserted, these are the numbers."""

    kills: Counter[str]
    tunes: int
    prompts: int
    callbacks: int
    answers: Counter[str]  # of the client that is refused and deletes, as "POST /tunes 402"
    walk: Walk


def survive(server: Server, receiver: Receiver, kills: int, seed: int) -> Survived:
    """Kills at random moments under mixed load, then waits until everything that was accepted
    is finished, and counts."""
    rng = random.Random(seed)
    tunes: list[int] = []
    prompts: list[int] = []
    killed: Counter[str] = Counter()
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
        victim = "engine" if victim == "device process" and struck_out else victim
        server.kill(victim)
        killed[victim] += 1
    troubled.end()
    finished(server, tunes, prompts)
    expected = len(tunes) + len(prompts)
    until(lambda: delivered(database) == expected, "every callback is delivered")
    told_once(receiver, expected)
    with database.read() as session:
        drawn = select(func.count(Image.id)).where(Image.prompt_id.in_(prompts))
        assert session.scalar(drawn) == len(prompts)
    server.stop()
    server.start()  # what a kill left goes when an engine starts
    until(
        lambda: walk(database, server.data).unmatched == ([], []),
        "there is no file without its row, and no row without its file",
    )
    walked = walk(database, server.data)
    return Survived(killed, len(tunes), len(prompts), expected, troubled.met, walked)


def finished(server: Server, tunes: list[int], prompts: list[int]) -> None:
    """Waits for all of them; none failed, and every picture can be fetched."""
    for tune in tunes:
        assert server.finished_tune(tune).get("user_error") is None, tune
    for prompt in prompts:
        shown = server.finished_prompt(prompt)
        assert shown["user_error"] is None
        assert len(shown["images"]) == shown["num_images"]
        assert all(
            httpx.get(url).headers["content-type"] == "image/jpeg" for url in shown["images"]
        )


def told_once(receiver: Receiver, expected: int) -> None:
    """One message about each tune and prompt; a repeated one keeps its id."""
    told = Counter(
        (kind, body[kind]["id"])
        for _, _, body in receiver.got
        for kind in ("tune", "prompt")
        if kind in body
    )
    messages = {(headers["webhook-id"], path) for headers, path, _ in receiver.got}
    assert len(told) == len(messages) == expected


class Trouble:
    """A client that is refused after its photos arrived (422, 402), and that deletes what it
    made, again and again, however it ends."""

    needed = frozenset(
        {
            "POST /tunes 201",
            "POST /tunes 402",
            "POST /tunes 422",
            "POST /prompts 201",
            "POST /prompts 422",
            "DELETE /prompts 200",
            "DELETE /tunes 200",
        }
    )

    def __init__(self, server: Server) -> None:
        self.server, self.over, self.met = server, threading.Event(), Counter[str]()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def end(self) -> None:
        self.over.set()
        self.thread.join()
        assert self.needed <= set(self.met), self.met

    def _run(self) -> None:
        while not self.over.is_set() or not self.needed <= set(self.met):
            headers = {"Authorization": f"Bearer {self.server.key}"}
            client = httpx.Client(
                base_url=f"http://127.0.0.1:{self.server.port}", headers=headers, timeout=60
            )
            with contextlib.suppress(httpx.HTTPError), client:
                self._round(client)
            self.over.wait(0.2)
        self._clear(self.server.http)

    def _round(self, client: httpx.Client) -> None:
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
        for changed in (*refusals, {}):
            answer = client.post("/tunes", data=form | changed, files=pictures(2))
            self._met("POST /tunes", answer)
        tune = answer.raise_for_status().json()["id"]
        for text in ("<lora:nobody:1> sks man", "sks man"):
            answer = client.post(
                f"/tunes/{tune}/prompts",
                data={"prompt[text]": text, "prompt[steps]": FEW},
                files={"prompt[input_image]": pictures(1)[0][1]},
            )
            self._met("POST /prompts", answer)
        if tune % 2:  # the other half of the prompts is deleted with the tune
            prompt: Json = answer.raise_for_status().json()
            self._met("DELETE /prompts", client.delete(f"/prompts/{prompt['id']}"))
        self._clear(client)

    def _clear(self, client: httpx.Client) -> None:
        for tune in client.get("/tunes", params={"title": "doomed"}).raise_for_status().json():
            deleted = client.delete(f"/tunes/{tune['id']}", params={"delete_prompts": "1"})
            self._met("DELETE /tunes", deleted)

    def _met(self, what: str, answer: httpx.Response) -> None:
        self.met[f"{what} {answer.status_code}"] += 1


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
