"""A picture is liked, drawn again and deleted by itself; its prompt and its neighbours stay."""

from __future__ import annotations

import re

import httpx
import pytest

from fluxbooth.service.accounts import accounts
from fluxbooth.service.db.tables import Removal
from fluxbooth.service.files import removals
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.prompts import pictures
from fluxbooth.service.settings import read_settings
from tests.support.server import FEW, Json, Server

PART = {"Fluxbooth-Part": "1"}


@pytest.fixture
def three(server: Server, drawn: Json) -> Json:
    """A prompt of three pictures."""
    asked = {"text": "sks man by a lake", "num_images": 3, "steps": int(FEW)}
    made = server.http.post(f"/tunes/{drawn['id']}/prompts", json={"prompt": asked}).json()
    return server.finished_prompt(made["id"])


def names_of(prompt: Json) -> list[str]:
    return [address.rpartition("/")[2].partition(".")[0] for address in prompt["images"]]


def kept(server: Server, prompt: Json) -> set[str]:
    folder = next((server.data / "files" / "prompts").glob(f"{prompt['id']}-*"))
    return {path.name for path in folder.iterdir()}


def test_a_like_is_of_one_picture_and_makes_its_prompt_liked(
    server: Server, owner: httpx.Client, stranger: httpx.Client, three: Json
) -> None:
    first, second, _ = names_of(three)
    assert stranger.post(f"/app/pictures/{first}/like").status_code == 404
    assert owner.post(f"/app/pictures/{first}/like", headers=PART).json() == {"liked": True}
    liked = owner.get("/app/gallery", params={"liked": "1", "words": "by a lake"}).text
    assert first in liked and second not in liked
    assert server.prompt(three["id"])["liked"] is True
    assert owner.post(f"/app/pictures/{first}/like", headers=PART).json() == {"liked": False}
    assert server.prompt(three["id"])["liked"] is False
    # a program likes all of them
    server.http.post(f"/prompts/{three['id']}/likes").raise_for_status()
    liked = owner.get("/app/gallery", params={"liked": "1", "words": "by a lake"}).text
    assert all(name in liked for name in names_of(three))
    server.http.delete(f"/prompts/{three['id']}").raise_for_status()


def test_a_picture_is_deleted_with_its_files_and_the_last_one_with_its_prompt(
    server: Server, owner: httpx.Client, stranger: httpx.Client, three: Json
) -> None:
    first, second, third = names_of(three)
    assert len(kept(server, three)) == 3
    owner.post(f"/app/pictures/{first}/like", headers=PART).raise_for_status()
    assert stranger.post(f"/app/pictures/{first}/delete").status_code == 404
    assert owner.post(f"/app/pictures/{first}/delete", headers=PART).json() == {"deleted": [first]}
    left = server.prompt(three["id"])
    assert names_of(left) == [second, third] and left["num_images"] == 3
    assert left["liked"] is False
    assert len(kept(server, three)) == 2
    assert httpx.get(three["images"][0]).status_code == 404
    assert owner.get(f"/app/pictures/{first}").status_code == 404
    both = {"picture[]": [second, third], "do": "delete"}
    assert stranger.post("/app/pictures", data=both).status_code == 404
    assert owner.post("/app/pictures", data=both).status_code == 303
    assert server.http.get(f"/prompts/{three['id']}").status_code == 404
    assert not server.files(f"prompts/{three['id']}")


def test_a_kill_between_a_deletion_and_its_file_leaves_nothing(server: Server, three: Json) -> None:
    name = names_of(three)[0]
    with server.database.write() as session:
        owner = accounts.find(session, "owner")
        jobs = JobEngine(read_settings(data=str(server.data)), lambda key: key)
        keys = pictures.delete(session, jobs, owner, name)
    store = Store(server.data)
    assert store.size(keys[0])  # the process was killed here
    removals.sweep(server.database, store)
    assert not store.size(keys[0])
    with server.database.read() as session:
        assert session.query(Removal).count() == 0
    server.http.delete(f"/prompts/{three['id']}").raise_for_status()


def test_several_are_liked_and_one_is_drawn_again(
    server: Server, owner: httpx.Client, three: Json
) -> None:
    first, second, _ = names_of(three)
    assert owner.post("/app/pictures", data={"do": "like"}).status_code == 422
    sent = owner.post(
        "/app/pictures", data={"picture[]": [first, second], "do": "like"}, headers=PART
    )
    assert sent.json() == {"liked": [first, second]}
    zipped = owner.get("/app/pictures.zip", params={"picture[]": [second]})
    assert zipped.content.count(b"PK\x01\x02") == 1
    card = owner.post(f"/app/pictures/{second}/again", headers=PART)
    number = int(re.findall(r'data-prompt="(\d+)"', card.text)[0])
    made = server.prompt(number)
    assert made["num_images"] == 1 and made["text"] == three["text"] and made["seed"] is None
    for row in (number, three["id"]):
        server.http.delete(f"/prompts/{row}").raise_for_status()
