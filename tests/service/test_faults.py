"""The disk is full, the database taken: one clear answer, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from fluxbooth.engine import worker
from fluxbooth.engine.device_pool import NoRoom
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.service.accounts import accounts
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Prompt
from fluxbooth.service.files import reserve
from fluxbooth.web import app, state
from tests.support.installation import Installation
from tests.support.server import Server, until

PHOTO = sorted(PHOTOS.glob("*.png"))[0].read_bytes()
MB = 2**20
# a disk of that size, for this process alone
DISK = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


def test_a_database_that_is_taken_is_said_so_and_read_all_the_same(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "PATIENCE", 0.1)
    key = new_key(installation)
    with TestClient(
        app.create_app(installation.settings), headers={"Authorization": f"Bearer {key}"}
    ) as client:
        with contextlib.closing(sqlite3.connect(installation.settings.database)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            refused = [
                client.post("/prompts", json={"text": "a man"}),
                client.post("/packs", json={"title": "x"}),
            ]
            assert client.get("/prompts").json() == []
            holder.rollback()
        for answer in refused:
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert (
                answer.json()["error"]
                == answer.json()["base"][0]
                == "The database is busy: nothing was kept. Try again."
            )
        made = client.post("/prompts", json={"text": "a man"})
        assert made.status_code == 201 and [row["id"] for row in client.get("/prompts").json()] == [
            made.json()["id"]
        ]


def new_key(installation: Installation) -> str:
    secret = accounts.pepper(installation.settings)
    return installation.write(
        installation.account(),
        lambda session, owner: accounts.create_key(session, owner, "", secret),
    )


def test_the_end_of_a_job_waits_for_the_database(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "LONGEST_PAUSE", 0.01)
    prompt = installation.prompt(installation.account(), 1504944, "a man")
    impatient, tries = Database(installation.settings.rows_url, patience=0.01), []
    holder = sqlite3.connect(installation.settings.database, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")

    def publish() -> None:
        tries.append(prompt)
        if len(tries) == 3:
            holder.rollback()
        with impatient.write() as session:
            session.get_one(Prompt, prompt).user_error = "written in the end"

    with contextlib.closing(holder), contextlib.closing(impatient):
        asyncio.run(worker.retry_write(publish))
    assert len(tries) == 3 and installation.row(Prompt, prompt).user_error == "written in the end"
    with pytest.raises(FileNotFoundError):  # no waiting for what will not come
        asyncio.run(worker.retry_write((installation.settings.data / "nothing").read_text))


def test_a_job_that_ends_on_a_full_disk_is_noted_once_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "LONGEST_PAUSE", 0.01)
    tries = list[int]()

    async def attempt(number: int, work: str) -> dict[str, object]:
        tries.append(number)
        if len(tries) < 3:
            raise OperationalError(
                "INSERT", {}, sqlite3.OperationalError("database or disk is full")
            )
        return {"outcome": "done", "result": {"steps": 3}}

    monkeypatch.setattr(worker, "attempt", attempt)
    assert asyncio.run(worker.run_with_retries(7, "train")) == {
        "outcome": "done",
        "result": {"steps": 3},
    } and tries == [7, 7, 7]


def test_work_that_found_no_room_is_done_again_and_is_nobodys_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker, "LONGEST_PAUSE", 0.01)
    tries = list[int]()

    class Cramped(worker.Engine):
        def __init__(self) -> None:
            """Without devices or rows."""

        async def draw(self, number: int) -> dict[str, object]:
            tries.append(number)
            if len(tries) < 3:
                raise NoRoom
            return {"pictures": []}

    monkeypatch.setattr(worker, "engine", Cramped(), raising=False)
    once: Any = worker.attempt
    answer = asyncio.run(once.__wrapped__(7, "draw"))
    assert answer == {"outcome": "done", "result": {"pictures": []}} and tries == [7, 7, 7]


def test_a_fault_of_ours_is_told_without_its_values(
    installation: Installation, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = app.create_app(installation.settings)

    @broken.get("/broken")
    def fail() -> None:
        raise RuntimeError("a secret value")

    with TestClient(broken) as client:
        answer = client.get("/broken")
    said_to_the_client = "A fault of the server: its log says more."
    assert answer.status_code == 500 and answer.json() == {
        "error": said_to_the_client,
        "message": said_to_the_client,
        "base": [said_to_the_client],
    }
    said = capfd.readouterr().err
    assert "a secret value" not in said
    assert (
        '"kind": "RuntimeError"' in said
        and answer.headers["x-request-id"] in said
        and "test_faults.py:" in said
    )


@contextlib.contextmanager
def on_a_disk_of(size: str, data: Path, *flags: str) -> Iterator[tuple[Server, Path]]:
    """A server on a disk of its own, and the data folder as it sees it."""
    data.mkdir()
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", DISK, "sh", size, str(data)]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("this system gives a process no disk of its own")
    with Server(data, prefix=prefix, flags=flags) as server:
        assert server.process is not None
        yield server, Path(f"/proc/{server.process.pid}/root{data}")


def fill(ballast: Path) -> None:
    with pytest.raises(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.slow
def test_work_waits_for_room_and_goes_on(tmp_path: Path) -> None:
    with on_a_disk_of("80m", tmp_path / "data") as (server, disk):
        tune = server.new_tune("long", branch="flux1", token="sks", steps="60", prompts=1)["id"]
        until(lambda: server.http.get(f"/tunes/{tune}/progress").json().get("step"), "it trains")
        fill(disk / "ballast")
        until(lambda: '"kind": "NoRoom"' in server.log.read_text(), "it finds no room")
        assert server.tune(tune).get("user_error") is None
        (disk / "ballast").unlink()
        trained = server.finished_tune(tune)
        assert trained["trained_at"] and trained.get("user_error") is None
        (prompt,) = server.http.get(f"/tunes/{tune}/prompts").json()
        drawn = server.finished_prompt(prompt["id"])
        assert drawn["user_error"] is None and len(drawn["images"]) == 1
        assert "died" not in server.log.read_text()


def test_a_full_disk_refuses_what_it_cannot_keep_and_keeps_what_it_has(tmp_path: Path) -> None:
    with on_a_disk_of("16m", tmp_path / "data", "--no-worker") as (cramped, disk):
        refuse_and_keep(cramped, disk)


def refuse_and_keep(cramped: Server, disk: Path) -> None:
    kept = []
    while (answer := send(cramped, f"tune {len(kept)}", 3 * MB)).status_code == 201:
        kept.append(answer.json())
        assert len(kept) < 6
    assert answer.status_code == 507 and answer.headers["retry-after"] == "60", answer.text
    assert answer.json()["error"].startswith("The disk of this server is full: nothing was kept.")
    assert str(cramped.data) not in answer.text
    assert kept and [row["title"] for row in cramped.http.get("/tunes").json()] == [
        row["title"] for row in reversed(kept)
    ]
    assert not [path for path in (disk / "incoming").rglob("*") if path.is_file()]
    for row in kept:
        assert len(cramped.http.get(row["orig_images"][0]).content) == len(PHOTO) + 3 * MB

    ballast = disk / "ballast"  # now the database has no room either
    fill(ballast)
    answers = [
        cramped.http.post("/prompts", json={"text": f"a man {'x' * 9000}"}) for _ in range(3)
    ]
    assert {answer.status_code for answer in answers} == {507}
    assert (
        cramped.http.get("/prompts").json() == []
        and cramped.http.get(f"/tunes/{kept[0]['id']}").status_code == 200
    )
    # for which room was set aside
    assert cramped.http.delete(f"/tunes/{kept[0]['id']}").status_code == 200
    assert not [
        path for path in (disk / "files" / "tunes").glob(f"{kept[0]['id']}-*") if path.exists()
    ]
    assert (disk / "reserve").stat().st_size == reserve.SIZE  # of the room that it made
    assert [row["title"] for row in cramped.http.get("/tunes").json()] == [
        row["title"] for row in reversed(kept[1:])
    ]
    ballast.unlink()

    assert send(cramped, "in the room that was made", 2 * MB).status_code == 201
    assert cramped.http.post("/prompts", json={"text": "a man"}).status_code == 201


def send(server: Server, title: str, more: int) -> httpx.Response:
    """A tune of one photo with so many bytes behind its end."""
    form = {"tune[title]": title, "tune[name]": "man", "tune[branch]": "fast"}
    return server.http.post(
        "/tunes", data=form, files=[("tune[images][]", ("a.png", PHOTO + bytes(more)))]
    )
