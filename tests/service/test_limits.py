"""What a request may bring, and what is looked at first: of every route, on a server's own
socket."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from fluxbooth.photos import inspection
from fluxbooth.service.prompts import input_images
from fluxbooth.service.settings import Settings
from fluxbooth.web.app import create_app
from tests.support.hostile import many_values
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.installation import PHOTO

TUNE = {"title": "Ann", "name": "man", "branch": "fast"}
PHOTOS = [("tune[images][]", ("a.png", PHOTO.read_bytes()))]
OPEN = {"/app/login"}


@pytest.fixture(scope="module")
def opened(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(blank, tmp_path_factory.mktemp("limits") / "data") as opened:
        yield opened


def changing(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route that may be sent something."""
    found = []
    for route in app.routes:
        if isinstance(route, APIRoute):
            path = route.path.format(**dict.fromkeys(route.param_convertors, "1"))
            found += [
                (method, path) for method in sorted(route.methods - {"GET", "HEAD", "DELETE"})
            ]
    return found


CHANGING = changing(create_app(Settings(data=Path("/nowhere"))))


@pytest.mark.parametrize(("method", "path"), [one for one in CHANGING if one[1] not in OPEN])
@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_nothing_is_read_of_who_has_neither_key_nor_session(
    opened: InProcessServer, method: str, path: str, kind: str
) -> None:
    """The body that is announced never comes: whoever waits for it waits for ever."""
    port = opened.settings.port
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Origin: {opened.settings.url}",
        f"Content-Type: {kind}",
        "Content-Length: 9",
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status in (401, 403)


LONG = "x" * 1_100_000
WITH_BODY = [
    ("POST", path)
    for path in (
        "/tunes",
        "/prompts",
        "/tunes/1504944/prompts",
        "/prompts/1/duplicate",
        "/packs",
        "/p/x/tunes",
        "/themes",
        "/tunes/1/more",
        "/images/inspect",
    )
] + [("PATCH", path) for path in ("/tunes/1", "/prompts/1", "/users")]


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize(
    "sent",
    [
        {"content": json.dumps({"text": LONG})},
        {"content": many_values(200_000)},
        {"data": {"text": LONG}},
        {"data": {"text": LONG}, "files": {"nothing": b""}},
    ],
    ids=["json", "values", "form", "multipart"],
)
def test_each_route_has_its_limit_in_every_encoding(
    opened: InProcessServer, method: str, path: str, sent: dict[str, Any]
) -> None:
    answer = opened.http.request(method, path, **sent)
    assert answer.status_code == 413, answer.text


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"name": "x" * 5000}},
        {"data": {"name": "x" * 5000}},
        {"files": {"name": (None, "x" * 5000)}},
    ],
)
def test_the_form_that_signs_in_reads_a_few_kilobytes(
    opened: InProcessServer, sent: dict[str, Any]
) -> None:
    answer = opened.http.post("/app/login", headers={"Origin": opened.settings.url}, **sent)
    assert answer.status_code == 413


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def decoded(*_: object, **__: object) -> Any:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(inspection, "look", decoded)
    monkeypatch.setattr(input_images, "written", decoded)


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/tunes", {"title": ""}, "title"),
        ("/tunes", {"base_tune_id": "7", "branch": "flux1"}, "base_tune_id"),
        ("/tunes", {"prompts_attributes": [{"text": "a man"}]}, "sks man"),
        ("/tunes", {"prompts_attributes": [{"text": "sks man <lora:999:1>"}]}, "tune 999"),
        ("/tunes", {"image_urls": ["http://a.example/a.jpg"]}, "not both"),
    ],
)
def test_cheap_fields_of_a_tune_are_checked_before_its_photos(
    opened: InProcessServer, path: str, fields: dict[str, Any], said: str
) -> None:
    flat: dict[str, Any] = {}
    for name, value in {**TUNE, **fields}.items():
        if name == "prompts_attributes":
            flat["tune[prompts_attributes][0][text]"] = value[0]["text"]
        else:
            flat[f"tune[{name}][]" if isinstance(value, list) else f"tune[{name}]"] = value
    answer = opened.http.post(path, data=flat, files=PHOTOS)
    assert answer.status_code == 422 and said in answer.text, answer.text


@pytest.mark.usefixtures("undecoded")
@pytest.mark.parametrize(
    ("path", "fields", "status", "said"),
    [
        ("/prompts", {"text": "a man", "style": "Nonsense"}, 422, "style"),
        ("/prompts", {"text": "a man", "negative_prompt": "a hat"}, 422, "negative_prompt"),
        ("/prompts", {"text": "<lora:999:1> a man"}, 422, "tune 999"),
        ("/tunes/999/prompts", {"text": "a man"}, 404, "not found"),
    ],
)
def test_cheap_fields_of_a_prompt_are_checked_before_its_picture(
    opened: InProcessServer, path: str, fields: dict[str, str], status: int, said: str
) -> None:
    files = {"prompt[input_image]": ("a.png", PHOTO.read_bytes())}
    answer = opened.http.post(
        path, data={f"prompt[{name}]": value for name, value in fields.items()}, files=files
    )
    assert answer.status_code == status and said in answer.text.lower(), answer.text


def test_a_request_that_has_its_answer_decodes_nothing_again(
    opened: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sent() -> list[int]:
        form = {f"tune[{name}]": value for name, value in TUNE.items()}
        key = {"Idempotency-Key": "one"}
        tune = opened.http.post("/tunes", data=form, files=PHOTOS, headers=key)
        files = {"prompt[input_image]": ("a.png", PHOTO.read_bytes())}
        other = {"Idempotency-Key": "two"}
        prompt = opened.http.post(
            "/prompts", data={"prompt[text]": "a man"}, files=files, headers=other
        )
        return [answer.raise_for_status().json()["id"] for answer in (tune, prompt)]

    first = sent()
    monkeypatch.setattr(inspection, "look", None)
    monkeypatch.setattr(input_images, "written", None)
    assert sent() == first
    assert not [path for path in (opened.results.store.incoming).iterdir() if path.is_file()]
