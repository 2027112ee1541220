"""What browsers, checkers of addresses and people who type see of the server besides its pages."""

from __future__ import annotations

import gzip
import re

import httpx
import pytest

from tests.support.server import Json, Server
from tests.support.visitors import browser, link

LONG_AGO = "/app/static/0123456789abcdef/app.css"  # of an earlier version


def loaded_by(client: httpx.Client, page: str) -> list[str]:
    return re.findall(r'(?:src|href)="(/app/static/[^"]+)"', client.get(page).text)


@pytest.mark.parametrize("page", ["/app/login", "/app/nowhere"])
def test_what_a_page_loads_is_kept_for_a_year_under_an_address_of_its_content(
    server: Server, page: str
) -> None:
    client = browser(server)
    found = loaded_by(client, page)
    assert len(found) >= 3
    for address in found:
        assert re.match(r"/app/static/[0-9a-f]{16}/\w", address), address
        assert client.get(address).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get(LONG_AGO).status_code == 404
    plain = re.sub(r"/[0-9a-f]{16}/", "/", found[0])  # as covers of packs are named
    assert "immutable" not in client.get(plain).headers.get("cache-control", "")


def test_pages_and_scripts_travel_compressed_and_pictures_as_they_are(
    server: Server, owner: httpx.Client, drawn: Json
) -> None:
    script = next(one for one in loaded_by(owner, "/app") if one.endswith("app.js"))
    for path in ("/app", script):
        with owner.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
            raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        plain = owner.get(path, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert gzip.decompress(raw) == plain.content
        assert len(raw) < len(plain.content) / 2
    picture = re.search(r'src="(/images/[^"]+|/app/thumbs/[^"]+)"', owner.get("/app/gallery").text)
    assert picture
    assert "content-encoding" not in owner.get(picture[1]).headers


@pytest.mark.parametrize("path", ["/app/login", "/app/static/app.js"])
def test_head_answers_what_get_would_without_its_body(server: Server, path: str) -> None:
    client = browser(server)
    asked, got = client.head(path), client.get(path)
    assert (asked.status_code, asked.content) == (200, b"")
    for name in ("content-type", "content-security-policy"):
        assert asked.headers[name] == got.headers[name]


def test_head_of_a_page_for_the_signed_in_leads_others_to_the_door(
    server: Server, owner: httpx.Client
) -> None:
    assert owner.head("/app").status_code == 200
    assert browser(server).head("/app").headers["location"] == "/app/login?next=/app"


def test_a_typed_address_that_is_none_is_a_page_for_a_person_and_json_for_a_program(
    server: Server,
) -> None:
    client = browser(server)
    page = client.get("/nothing", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.status_code == 404 and "<h1>" in page.text and 'href="/app"' in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    told = client.get("/nothing")
    assert told.status_code == 404 and told.json()["error"]


def test_signing_in_leads_back_to_the_very_page_with_its_query(server: Server) -> None:
    asked = "/app/gallery?liked=1&words=a%20red%20hat&tune="
    client = browser(server)
    door = client.get(asked).headers["location"]
    assert door.startswith("/app/login?next=")
    shown = client.get(door).text
    hidden = re.search(r'name="next" value="([^"]*)"', shown)
    assert hidden
    address = hidden[1].replace("&amp;", "&")
    answer = client.post("/app/login", data={"link": link(server), "next": address})
    assert answer.headers["location"] == asked


@pytest.mark.parametrize(
    "elsewhere", ["/app/../tunes", "/app//evil.example", "/app?x=<b>", "/app/x\\y", "/apple"]
)
def test_signing_in_leads_nowhere_else(server: Server, elsewhere: str) -> None:
    client = browser(server)
    answer = client.post("/app/login", data={"link": link(server), "next": elsewhere})
    assert answer.headers["location"] == "/app"
