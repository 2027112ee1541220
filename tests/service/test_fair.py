"""What one account asks of other hosts keeps nobody else waiting, and counts as its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select

from fluxbooth.errors import InputError
from fluxbooth.service import fetching
from fluxbooth.service.accounts import quotas
from fluxbooth.service.db.tables import Account, Callback, Photo, Prompt, Tune, now
from fluxbooth.service.outgoing.fetch import FetchError, FetchRules
from fluxbooth.service.settings import MB
from tests.support import servers
from tests.support.installation import PHOTO, Installation, calling
from tests.support.server import Receiver, Server, until
from tests.support.servers import response, serving

OWN = FetchRules(allow_private=True, ports=frozenset(range(1, 2**16)))


@contextmanager
def silent() -> Iterator[servers.Server]:
    """Takes requests and never answers, until the test is over."""

    def answer(server: servers.Server, connection: socket.socket) -> None:
        server.over.wait()

    with serving(answer) as server:
        yield server


def tune_of(urls: list[str], **fields: str) -> dict[str, object]:
    return {
        "title": "from elsewhere",
        "name": "man",
        "branch": "fast",
        "steps": 4,
        "image_urls": urls,
        **fields,
    }


def test_slow_addresses_do_not_hold_the_device(server: Server) -> None:
    with silent() as slow:
        tune = server.http.post(
            "/tunes", json=tune_of([f"{slow.url}/{i}.jpg" for i in range(4)])
        ).json()
        start = server.http.post(
            "/prompts", json={"text": "a man", "steps": 4, "input_image_url": f"{slow.url}/a.jpg"}
        ).json()
        until(lambda: slow.connections >= 2, "both are asked for")
        other = server.http.post("/prompts", json={"text": "a man at sea", "steps": 4}).json()
        assert server.finished_prompt(other["id"])["images"]
        waiting = server.tune(tune["id"]), server.prompt(start["id"])
        assert [(row["started_training_at"], row.get("user_error")) for row in waiting] == [
            (None, None)
        ] * 2
        for path in (f"/tunes/{tune['id']}", f"/prompts/{start['id']}", f"/prompts/{other['id']}"):
            server.http.delete(path).raise_for_status()


def test_an_engine_that_was_killed_goes_on_with_the_next_address(own_server: Server) -> None:
    asked, go = list[str](), threading.Event()

    def answer(server: servers.Server, connection: socket.socket) -> None:
        asked.append(server.requests[-1].split(b" ")[1].decode())
        if asked[-1] == "/1.png" and not go.is_set():
            server.over.wait()
        connection.sendall(response(200, PHOTO.read_bytes(), content_type="image/png"))

    with serving(answer) as elsewhere:
        tune = own_server.http.post(
            "/tunes", json=tune_of([f"{elsewhere.url}/{i}.png" for i in range(3)])
        ).json()
        until(lambda: "/1.png" in asked, "the second is asked for")
        go.set()
        own_server.kill("engine")
        done = own_server.finished_tune(tune["id"])
    assert done["trained_at"] and asked == ["/0.png", "/1.png", "/1.png", "/2.png"]
    assert not list((own_server.data / "incoming").glob("tune-*"))


def test_all_addresses_of_a_tune_have_one_deadline(installation: Installation) -> None:
    account = installation.account()
    with serving(response(200, PHOTO.read_bytes())) as elsewhere, silent() as slow:
        tune = by_address(
            installation,
            account,
            [f"{elsewhere.url}/0.png", f"{slow.url}/1.png", f"{slow.url}/2.png"],
        )
        with pytest.raises(FetchError, match=r"1\.png took longer than"):
            fetching.photos(installation.results, tune, OWN, within=0.5)
        assert slow.connections == 1
        with pytest.raises(FetchError, match="longer than 0 seconds together"):
            fetching.photos(installation.results, tune, OWN, within=0.0)
        assert [bool(photo.key) for photo in photos_of(installation, tune)] == [True, False, False]


def by_address(installation: Installation, account: int, urls: list[str]) -> int:
    """A tune whose photos are still elsewhere."""
    tune = installation.tune(account, "by address")
    with installation.results.db.write() as session:
        row = session.get_one(Tune, tune)
        installation.results.store.remove(f"{row.folder}/photos")
        session.delete(row.photos[0])
        row.photos = [Photo(filename="x", url=url) for url in urls]
    return tune


def photos_of(installation: Installation, tune: int) -> list[Photo]:
    with installation.results.db.read() as session:
        return list(session.scalars(select(Photo).where(Photo.tune_id == tune).order_by(Photo.id)))


def test_what_is_fetched_counts_and_is_refused_without_room(installation: Installation) -> None:
    account, large = installation.account(stored_mb=1), b"x" * 400_000
    installation.results.store.remove("incoming")
    with serving(response(200, large)) as elsewhere:
        tune = by_address(installation, account, [f"{elsewhere.url}/{i}.png" for i in range(4)])
        with pytest.raises(InputError, match="of 1 MB: delete tunes"):
            fetching.photos(installation.results, tune, OWN)
    assert elsewhere.connections == 3
    with installation.results.db.read() as session:
        assert quotas.stored(session, account) == 2 * len(large) < MB
    assert len(installation.files(f"tunes/{tune}")) == 2
    assert not list(installation.results.store.incoming.glob("tune-*"))


def test_a_picture_to_start_from_counts_too(installation: Installation) -> None:
    account = installation.account()
    prompt = installation.prompt(account, 1504944, "a man")
    with serving(response(200, PHOTO.read_bytes())) as elsewhere:
        at(installation, prompt, f"{elsewhere.url}/a.png")
        fetching.input_pictures(installation.results, prompt, OWN)
        kept = installation.row(Prompt, prompt)
        assert kept.input_bytes > 0 and installation.files(f"prompts/{prompt}") == [
            "input_image.jpg"
        ]
        full = installation.prompt(account, 1504944, "a man at sea")
        at(installation, full, f"{elsewhere.url}/a.png")
        filled(installation, account)
        with pytest.raises(InputError, match="of 1 MB: delete tunes"):
            fetching.input_pictures(installation.results, full, OWN)
    assert installation.row(Prompt, full).input_bytes == 0 and not installation.files(
        f"prompts/{full}"
    )
    assert not list(installation.results.store.incoming.glob("*.jpg"))


def at(installation: Installation, prompt: int, url: str) -> None:
    with installation.results.db.write() as session:
        session.get_one(Prompt, prompt).fields = {"input_urls": {"input_image": url}}


def filled(installation: Installation, account: int) -> None:
    """The account has a megabyte, which is full."""
    tune = installation.tune(account, "large")
    with installation.results.db.write() as session:
        session.get_one(Account, account).stored_mb = 1
        session.get_one(Tune, tune).lora_bytes = MB


def test_a_receiver_that_hangs_delays_no_other_account_and_no_other_host(
    server: Server, receiver: Receiver
) -> None:
    with silent() as hanging:
        calling(server.data, "hanging", [f"{hanging.url}/{i}" for i in range(40)])
        until(lambda: hanging.connections == 4, "as many hang as may")
        elsewhere = receiver.url.replace("127.0.0.1", "localhost")
        calling(server.data, "hanging", [f"{elsewhere}/same-account"])
        calling(server.data, "patient", [f"{receiver.url}/other-account"])
        until(lambda: len(receiver.got) == 2, "both others arrive")
        assert hanging.connections == 4  # none of them has come to its end yet
        assert {path for _, path, _ in receiver.got} == {"/same-account", "/other-account"}
    ended(server, "hanging")


def ended(server: Server, account: str) -> None:
    """Nothing of the account's is tried again."""
    with server.database.write() as session:
        owner = session.scalars(select(Account.id).where(Account.name == account)).one()
        for row in session.scalars(select(Callback).where(Callback.account_id == owner)):
            row.failed_at = now()


def test_many_hosts_of_one_account_leave_turns_to_others(
    server: Server, receiver: Receiver
) -> None:
    with silent() as hanging:
        names = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1")
        calling(
            server.data,
            "many hosts",
            [f"http://{name}:{hanging.port}/" for name in names for _ in range(10)],
        )
        until(lambda: hanging.connections == 16, "as many hang as may")
        calling(server.data, "patient", [f"{receiver.url}/other-account"])
        until(lambda: len(receiver.got) == 1, "the other's arrives")
        assert hanging.connections == 16
    ended(server, "many hosts")
