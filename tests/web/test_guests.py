"""What the web app grants: the pace of an account, guesses at a password, links for somebody
else, and the secret of callbacks."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fluxbooth.service.accounts import passwords, web_sessions
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import ServiceError
from fluxbooth.web.pages.login import PARTS
from fluxbooth.web.rate_limit import SAVED
from tests.service.conftest import blank
from tests.service.test_tenants import DRAFT, signed_in
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import pictures

__all__ = ["blank"]


@pytest.fixture(scope="module")
def slow(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A house that answers each account once a second."""
    with in_process_server(
        blank, tmp_path_factory.mktemp("slow") / "data", requests_per_second=1.0
    ) as opened:
        yield opened


@pytest.fixture(scope="module")
def open_house(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(blank, tmp_path_factory.mktemp("guests") / "data") as opened:
        yield opened


def test_a_browser_asks_at_the_pace_of_its_account(slow: InProcessServer) -> None:
    number, client = slow.guest("hasty")
    browser = signed_in(slow, number)
    answers = [browser.get("/app/account") for _ in range(20)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = answers[-1]
    assert (
        refused.status_code == 429
        and int(refused.headers["retry-after"]) >= 1
        and "requests a second" in refused.text
    )
    assert client.get("/users").status_code == 429  # whichever way it asks
    assert browser.post("/app/keys", data={"label": "x"}).status_code == 429


def test_what_a_page_brings_does_not_count_as_pages(slow: InProcessServer) -> None:
    """Fifty photos of a draft, their small copies and a poll a second."""
    number, _ = slow.guest("normal")
    browser = signed_in(slow, number)
    assert browser.get("/app/tunes/new", follow_redirects=True).status_code == 200
    sent = {"photo": ("a.png", pictures(1)[0][1][1])}
    assert browser.post(f"/app/drafts/{DRAFT}/photos", files=sent).status_code == 201
    asked = [browser.get(f"/app/drafts/{DRAFT}/photos/1").status_code for _ in range(120)]
    assert asked == [200] * 120
    assert browser.get("/app").status_code == 200


def test_parts_have_an_end_too(slow: InProcessServer) -> None:
    number, _ = slow.guest("greedy")
    browser = signed_in(slow, number)
    with slow.db.write() as session:
        session.get_one(Account, number).requests_per_second = 0.1
    answers = [browser.get(f"/app/drafts/{DRAFT}/photos").status_code for _ in range(90)]
    assert answers[: int(SAVED * 0.1 * PARTS)] == [200] * 60 and 429 in answers


# ── passwords
# ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def refused(guesses: passwords.Guesses, name: str, address: str) -> bool:
    try:
        guesses.begin(name, address)
    except ServiceError as error:
        assert error.status == 429 and int(error.headers["Retry-After"]) > 0
        return True
    return False


def test_a_stranger_s_failures_do_not_keep_the_owner_out() -> None:
    clock = Clock()
    guesses = passwords.Guesses(clock)
    assert [refused(guesses, "owner", "203.0.113.7") for _ in range(7)] == [False] * 5 + [True] * 2
    assert not refused(guesses, "owner", "198.51.100.1")
    guesses.right("owner", "198.51.100.1")
    assert refused(guesses, "owner", "203.0.113.7")
    clock.now = 301
    assert not refused(guesses, "owner", "203.0.113.7")


def test_many_addresses_together_have_a_limit_and_so_has_one_with_many_names() -> None:
    guesses = passwords.Guesses(Clock())
    tries = [refused(guesses, "owner", f"203.0.{i}.7") for i in range(120)]
    assert tries.count(False) == 100
    assert [refused(guesses, f"name {i}", "198.51.100.1") for i in range(30)].count(False) == 20


def test_whoever_has_one_address_of_ipv6_has_all_that_begin_like_it() -> None:
    guesses = passwords.Guesses(Clock())
    assert [refused(guesses, "owner", f"2001:db8:1:2::{i:x}") for i in range(9)].count(False) == 5
    assert not refused(guesses, "owner", "2001:db8:1:3::1")
    assert passwords.network_of("::ffff:203.0.113.7") == passwords.network_of("203.0.113.7")


def test_guesses_that_come_at_once_are_all_counted() -> None:
    guesses, let = passwords.Guesses(Clock()), list[bool]()
    threads = [
        threading.Thread(target=lambda: let.append(not refused(guesses, "owner", "203.0.113.7")))
        for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert let.count(True) == 5


# ── links
# ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def link(town: InProcessServer, account: int) -> str:
    with town.db.write() as session:
        return web_sessions.new_link(session, session.get_one(Account, account), town.secret)


def who(client: httpx.Client) -> str:
    found = re.search(r'name="username" value="([^"]*)"', client.get("/app/account").text)
    assert found
    return found[1]


def test_a_link_for_somebody_else_asks_first(open_house: InProcessServer) -> None:
    mine = signed_in(open_house, open_house.guest("victim")[0])
    (theirs, _) = open_house.guest("attacker")
    token = link(open_house, theirs)
    cross_site = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    answer = mine.get("/app/start", params={"token": token}, headers=cross_site)
    assert (
        answer.status_code == 200
        and "victim" in answer.text
        and "attacker" in answer.text
        and "set-cookie" not in answer.headers
    )
    assert who(mine) == "victim"
    forged = mine.post(
        "/app/start",
        data={"token": token},
        headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    )
    assert forged.status_code == 403 and who(mine) == "victim"
    assert mine.post("/app/start", data={"token": token}).headers["location"] == "/app"
    assert who(mine) == "attacker"


def test_a_used_link_leads_a_signed_in_person_to_the_app(open_house: InProcessServer) -> None:
    number, _ = open_house.guest("twice")
    browser, token = signed_in(open_house, number), link(open_house, number)
    for _ in range(2):  # the first use signs in anew
        answer = browser.get("/app/start", params={"token": token})
        assert (answer.status_code, answer.headers["location"]) == (303, "/app")
    again = httpx.get(f"{open_house.settings.url}/app/start", params={"token": token})
    assert again.status_code == 403


# ── the secret of callbacks, and /metrics
# ────────────────────────────────────────────────────────────────────────────


def test_the_callback_secret_is_shown_and_made_anew(open_house: InProcessServer) -> None:
    number, _ = open_house.guest("receiver")
    browser = signed_in(open_house, number)

    def shown() -> str:
        page = browser.get("/app/account")
        assert page.headers["cache-control"] == "no-store"
        found = re.search(r'value="(whsec_[^"]+)"', page.text)
        assert found
        return found[1]

    first = shown()
    assert browser.post("/app/account/callback-secret").status_code == 303
    assert shown() != first and "for a day" in browser.get("/app/account").text


def test_metrics_are_the_operator_s_to_see(open_house: InProcessServer) -> None:
    _, tenant = open_house.guest("curious")
    answer = tenant.get("/metrics")
    assert (
        answer.status_code == 403
        and "operator" in answer.json()["error"]
        and "fluxbooth_jobs" not in answer.text
    )
    assert "fluxbooth_jobs_waiting" in open_house.http.get("/metrics").text
