"""The operator invites somebody, and sees and sets what each may have; all without a terminal."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.server import Server
from tests.support.visitors import browser, link

PRICES = '{"step": {"none": 100}, "picture": 1000, "options": {"super_resolution": 500}}'


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("shop") / "data"
    with Server(folder, flags=["--no-worker"], prices=PRICES) as server:
        yield server


@pytest.fixture
def owner(shop: Server) -> httpx.Client:
    client = browser(shop)
    client.get(link(shop))
    return client


def invited(owner: httpx.Client, name: str, **fields: str) -> str:
    """The path of the link that the page shows."""
    answer = owner.post("/app/people", data={"name": name, "credit": "", "days": "7", **fields})
    assert answer.status_code == 200, answer.text
    shown = re.search(r'<textarea id="link"[^>]*>([^<]+)</textarea>', answer.text)
    assert shown
    address = httpx.URL(html.unescape(shown[1]))
    return address.raw_path.decode()


def row_of(owner: httpx.Client, name: str) -> str:
    page = owner.get("/app/people").text
    found = re.search(
        rf'<li class="row people">(?:(?!</li>).)*<strong>{name}</strong>.*?</li>', page, re.S
    )
    assert found, page
    return found[0]


def number_of(owner: httpx.Client, name: str) -> str:
    found = re.search(r'action="/app/people/(\d+)/credit"', row_of(owner, name))
    assert found
    return found[1]


def come_in(shop: Server, path: str) -> httpx.Client:
    guest = browser(shop)
    page = guest.get(path)
    token = re.search(r'name="token" value="([^"]+)"', page.text)
    assert page.status_code == 200 and token
    assert guest.post("/app/start", data={"token": token[1]}).headers["location"] == "/app"
    return guest


def test_an_invitation_lets_in_once_with_its_credit_and_not_who_only_looks(
    shop: Server, owner: httpx.Client
) -> None:
    path = invited(owner, "Ann", credit="2.50")
    for _ in range(3):  # the messenger that carries it, and a second look
        assert browser(shop).get(path).status_code == 200
    guest = come_in(shop, path)
    assert "$2.50 free to spend" in guest.get("/app/account").text
    assert browser(shop).get(path).status_code == 403
    assert guest.get(path).headers["location"] == "/app"  # signed in already
    assert (
        guest.get("/app/people").status_code == 404 and guest.get("/app/server").status_code == 404
    )


def test_what_will_not_do_makes_no_account(shop: Server, owner: httpx.Client) -> None:
    before = owner.get("/app/people").text.count('class="row people"')
    for fields in (
        {"name": "owner"},
        {"name": ""},
        {"name": "17"},
        {"name": "Bo", "credit": "much"},
        {"name": "Bo", "credit": "-3"},
        {"name": "Bo", "days": "0"},
        {"name": "Bo", "days": "31"},
        {"name": "Bo", "days": "1e3"},
    ):
        answer = owner.post("/app/people", data={"credit": "", "days": "7", **fields})
        assert answer.status_code == 422 and 'class="errors"' in answer.text, fields
        assert "Traceback" not in answer.text
    assert owner.get("/app/people").text.count('class="row people"') == before


def test_credit_and_limits_are_set_and_sent_twice_count_once(
    shop: Server, owner: httpx.Client
) -> None:
    guest = come_in(shop, invited(owner, "Cay"))
    number = number_of(owner, "Cay")
    once = re.search(r'name="once" value="([\w-]+)"', row_of(owner, "Cay"))
    assert once
    for _ in range(2):
        owner.post(f"/app/people/{number}/credit", data={"amount": "4", "once": once[1]})
    assert "$4.00 free to spend" in guest.get("/app/account").text
    limits = {"requests_per_second": "", "waiting_jobs": "1", "stored_mb": "0"}
    assert owner.post(f"/app/people/{number}/limits", data=limits).status_code == 303
    kept = re.findall(r'name="(\w+)"[^>]* value="([^"]*)"', row_of(owner, "Cay"))
    assert ("waiting_jobs", "1") in kept and ("requests_per_second", "") in kept
    first, second = (
        guest.post("/app/prompts", data={"text": f"a lighthouse, number {i}", "count": "1"})
        for i in range(2)
    )
    assert (first.status_code, second.status_code) == (303, 429)
    for value in ("many", "-1", "nan", "1e30"):
        wrong = owner.post(f"/app/people/{number}/limits", data={**limits, "stored_mb": value})
        assert wrong.status_code == 422, value


def test_who_is_shut_out_is_let_in_again_and_the_operator_cannot_shut_himself_out(
    shop: Server, owner: httpx.Client
) -> None:
    guest = come_in(shop, invited(owner, "Dot"))
    number, own = number_of(owner, "Dot"), number_of(owner, "owner")
    owner.post(f"/app/people/{number}/switch", data={"to": "off"})
    assert guest.get("/app").status_code == 403
    owner.post(f"/app/people/{number}/switch", data={"to": "on"})
    assert guest.get("/app").status_code == 200
    owner.post(f"/app/people/{own}/switch", data={"to": "off"})
    assert owner.get("/app").status_code == 200


def test_nobody_but_the_operator_changes_anything(shop: Server, owner: httpx.Client) -> None:
    guest = come_in(shop, invited(owner, "Eve"))
    number = number_of(owner, "Eve")
    for path, sent in (
        ("", {"name": "Mallory", "credit": "9", "days": "7"}),
        (f"/{number}/credit", {"amount": "9", "once": "x"}),
        (f"/{number}/limits", {"waiting_jobs": "0"}),
        (f"/{number}/link", {}),
        (f"/{number}/switch", {"to": "off"}),
    ):
        assert guest.post(f"/app/people{path}", data=sent).status_code == 404, path
    assert owner.post("/app/people/999999/credit", data={"amount": "1"}).status_code == 404


def test_prices_are_told_with_an_example_of_ten_photos(shop: Server, owner: httpx.Client) -> None:
    page = owner.get("/app/prices").text
    assert "A training on 10 photos" in page and "1000" in page and "$1.00" in page
    assert "super_resolution" in page and "$0.005" in page
    assert "$0.04" in page  # four pictures


def test_a_run_of_many_prompts_is_priced_before_its_button(
    shop: Server, owner: httpx.Client
) -> None:
    tune = shop.new_tune("Robin")
    part = {"Fluxbooth-Part": "1"}
    asked = {"tune": str(tune["id"]), "count": "2"}
    one = owner.get("/app/prompts/plan", params=asked, headers=part).json()["words"]
    ten = owner.get("/app/prompts/plan", params={**asked, "times": "10"}, headers=part).json()[
        "words"
    ]
    assert one[0] == "2 pictures." and ten[0] == "20 pictures."
    assert owner.get("/app/prompts/plan", params={"times": "x"}, headers=part).status_code == 422
