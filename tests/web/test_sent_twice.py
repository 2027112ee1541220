"""What makes or spends something is made once, however often its form is sent; and whoever only
looks changes nothing."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from fluxbooth.service.accounts import accounts, web_sessions
from fluxbooth.service.billing import ledger
from fluxbooth.service.db.tables import Account, Movement, Prompt, Tune
from fluxbooth.service.tunes import tunes
from tests.service.conftest import blank
from tests.service.test_tenants import signed_in
from tests.support.in_process_server import InProcessServer, in_process_server

__all__ = ["blank"]

PRICES = {"picture": 1000}
FIRST = 1  # the operator's account


@pytest.fixture(scope="module")
def house(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(
        blank, tmp_path_factory.mktemp("house") / "data", base="nano", prices=PRICES
    ) as opened:
        with opened.db.write() as session:
            ledger.credit(session, session.get_one(Account, FIRST), 10_000_000)
        yield opened


@pytest.fixture(scope="module")
def owner(house: InProcessServer) -> httpx.Client:
    return signed_in(house, FIRST)


def once_of(page: httpx.Response, action: str) -> str:
    form = re.search(rf'<form[^>]*action="{action}".*?</form>', page.text, re.S)
    assert form, page.text
    found = re.search(r'name="once" value="([^"]+)"', form[0])
    assert found, form[0]
    return html.unescape(found[1])


def count(house: InProcessServer, kind: type[Tune] | type[Prompt]) -> int:
    with house.db.read() as session:
        return session.scalar(select(func.count()).select_from(kind)) or 0


def at_once(send: Callable[[], httpx.Response], times: int = 4) -> list[httpx.Response]:
    answers: list[httpx.Response] = []
    start = threading.Barrier(times)

    def one() -> None:
        start.wait()
        answers.append(send())

    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_try_again_and_more_steps_train_once(house: InProcessServer, owner: httpx.Client) -> None:
    failed, trained = (house.tune(FIRST, title) for title in ("failed", "trained"))
    jobs = house.results.jobs
    house.write(FIRST, lambda session, mine: tunes.cancel(session, jobs, mine, failed))
    house.trained(trained)
    for tune, button, fields in (
        (failed, "again", {}),
        (trained, "more", {"title": "trained on", "steps": "10"}),
    ):
        path, before = f"/app/tunes/{tune}/{button}", count(house, Tune)
        sent = {**fields, "once": once_of(owner.get(f"/app/tunes/{tune}"), path)}
        answers = at_once(lambda path=path, sent=sent: owner.post(path, data=sent))
        assert {answer.status_code for answer in answers} == {303}, button
        assert len({answer.headers["location"] for answer in answers}) == 1, button
        assert count(house, Tune) == before + 1, button
        sent["once"] = once_of(owner.get(f"/app/tunes/{tune}"), path)  # meant, and so another one
        assert owner.post(path, data=sent).status_code == 303
        assert count(house, Tune) == before + 2, button


def test_a_prompt_and_what_is_done_to_a_picture_are_drawn_once(
    house: InProcessServer, owner: httpx.Client
) -> None:
    asked = {"text": "a lighthouse", "count": "1"}
    first = house.prompt(FIRST, 1504944, "a barn")
    house.drawn(first)
    name = house.http.get(f"/prompts/{first}").json()["images"][0].rpartition("/")[2]
    picture = f"/app/pictures/{name.partition('.')[0]}"
    for page, path, fields in (
        ("/app/create", "/app/prompts", asked),
        (picture, f"{picture}/again", {}),
    ):
        before = count(house, Prompt)
        sent = {**fields, "once": once_of(owner.get(page), path)}
        answers = at_once(lambda path=path, sent=sent: owner.post(path, data=sent), 3)
        assert {answer.status_code for answer in answers} == {303}, path
        assert count(house, Prompt) == before + 1, path
    before = count(house, Prompt)
    sent = {**asked, "text": "a lighthouse at dawn", "once": "the same form, with other words"}
    for text in ("a lighthouse at dawn", "a lighthouse at dusk"):
        assert owner.post("/app/prompts", data={**sent, "text": text}).status_code == 303
    assert count(house, Prompt) == before + 2
    for form in ("vary", "enhance"):  # each form of the large view has its number
        once_of(owner.get(picture), f"{picture}/{form}")


def test_an_invitation_sent_twice_shows_its_link_again(owner: httpx.Client) -> None:
    once = once_of(owner.get("/app/people"), "/app/people")
    sent = {"name": "Ann", "credit": "2", "days": "7", "once": once}
    first, second = (owner.post("/app/people", data=sent) for _ in range(2))
    links = [
        re.findall(r'<textarea id="link"[^>]*>([^<]+)<', answer.text) for answer in (first, second)
    ]
    assert len(links[0]) == 1 and links[0] == links[1]
    path = html.unescape(links[0][0]).partition("/app/")[2]
    assert "Ann" in owner.get(f"/app/{path}").text


def test_credit_that_is_sent_again_with_another_amount_is_refused_in_plain_words(
    house: InProcessServer, owner: httpx.Client
) -> None:
    number, _ = house.guest("Bo")
    path = f"/app/people/{number}/credit"
    once = once_of(owner.get("/app/people"), path)
    assert owner.post(path, data={"amount": "4", "once": once}).status_code == 303
    answer = owner.post(path, data={"amount": "5", "once": once})
    assert answer.status_code == 422 and once not in answer.text
    assert "nothing was added this time" in answer.text
    with house.db.read() as session:
        given = session.scalars(select(Movement).where(Movement.account_id == number)).all()
        assert [row.amount_mc for row in given] == [400_000]


@pytest.mark.parametrize("page", ["start", "invitation"])
def test_head_uses_no_link_up(house: InProcessServer, page: str) -> None:
    number, _ = house.guest(f"looks at {page}")
    with house.db.write() as session:
        token = web_sessions.new_link(session, session.get_one(Account, number), house.secret)
    address, asked = f"{house.settings.url}/app/{page}", {"token": token}
    for cookies in (None, dict(signed_in(house, number).cookies)):
        looked = httpx.head(address, params=asked, cookies=cookies)
        assert looked.status_code == 200 and "set-cookie" not in looked.headers
    entered = httpx.get(f"{house.settings.url}/app/start", params=asked)
    assert entered.status_code == 303 and "set-cookie" in entered.headers


def test_an_invitation_waits_for_its_button_whoever_opens_it(house: InProcessServer) -> None:
    number, _ = house.guest("shut out")
    browser = signed_in(house, number)
    meant, _ = house.guest("meant")
    with house.db.write() as session:
        accounts.disable(session.get_one(Account, number), True)
        token = web_sessions.new_link(session, session.get_one(Account, meant), house.secret)
    for _ in range(2):
        opened = browser.get("/app/invitation", params={"token": token})
        assert opened.status_code == 200 and "set-cookie" not in opened.headers


@pytest.mark.parametrize("pace", ["1e-300", "0.01", "１", "1_0"])
def test_a_limit_shuts_nobody_out(house: InProcessServer, owner: httpx.Client, pace: str) -> None:
    limits = {"waiting_jobs": "", "stored_mb": ""}
    answer = owner.post(f"/app/people/{FIRST}/limits", data={**limits, "requests_per_second": pace})
    assert answer.status_code == 422
    assert re.search("is no limit|would shut the account out", answer.text)
    assert owner.get("/app/people").status_code == 200


def test_a_limit_of_an_earlier_version_lets_somebody_in_now_and_then(
    house: InProcessServer,
) -> None:
    number, client = house.guest("kept out")
    with house.db.write() as session:
        session.get_one(Account, number).requests_per_second = 1e-300
    assert client.get("/users").status_code == 200
    answer = client.get("/users")
    assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 10


def test_pictures_stay_in_no_cache_but_the_browsers(house: InProcessServer) -> None:
    prompt = house.prompt(FIRST, 1504944, "a harbour")
    house.drawn(prompt)
    address = house.http.get(f"/prompts/{prompt}").json()["images"][0]
    assert httpx.get(address).headers["cache-control"] == "private, max-age=3600"
