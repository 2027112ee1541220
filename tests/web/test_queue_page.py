"""What waits is seen and ended: one by one where it stands, or all on the page Queue; what failed
is tried again."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.support.chromium import api, in_every_run, window
from tests.support.server import Json, Server
from tests.support.visitors import browser, link

pytestmark = in_every_run


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which nothing begins, so that all waits."""
    settings = {"prices": '{"picture": 1000, "step": {"none": 100}}', "lora_download": "true"}
    folder = tmp_path_factory.mktemp("queue") / "data"
    with Server(folder, flags=["--no-worker"], **settings) as server:
        yield server


@pytest.fixture
def owner(waiting: Server) -> httpx.Client:
    client = browser(waiting)
    client.get(link(waiting))
    return client


@pytest.fixture
def page() -> Iterator[api.Page]:
    with window() as page:
        yield page


def ask(server: Server, text: str) -> int:
    answer = server.http.post("/prompts", json={"text": text, "num_images": 2})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def credit(server: Server) -> None:
    from fluxbooth.service.accounts import accounts
    from fluxbooth.service.billing import ledger

    with server.database.write() as session:
        ledger.credit(session, accounts.find(session, "owner"), 10_000_000, None)


def balance(server: Server) -> int:
    from fluxbooth.service.accounts import accounts
    from fluxbooth.service.billing import ledger

    with server.database.read() as session:
        return ledger.balance(session, accounts.find(session, "owner").id)


def test_a_card_that_waits_is_taken_back_where_it_stands(waiting: Server, page: api.Page) -> None:
    credit(waiting)
    before = balance(waiting)
    number = ask(waiting, "a lighthouse at dusk")
    assert balance(waiting) < before
    page.goto(link(waiting))
    page.goto(f"http://127.0.0.1:{waiting.port}/app/create")
    card = page.locator(f".card[data-prompt='{number}']")
    card.get_by_role("button", name=re.compile("^Cancel")).click()
    api.expect(card).to_have_count(0)
    assert waiting.http.get(f"/prompts/{number}").status_code == 404
    assert balance(waiting) == before


def test_the_queue_names_what_waits_for_what_and_ends_all_of_it(
    waiting: Server, page: api.Page
) -> None:
    credit(waiting)
    before = balance(waiting)
    tune = waiting.new_tune("Robin", branch="flux1", steps="100")
    ask(waiting, f"<lora:{tune['id']}:1> ohwx man on a raft")
    ask(waiting, "a red barn in a storm")
    page.goto(link(waiting))
    page.get_by_role("link", name="Queue: 3 open").click()
    rows = page.locator("#queue .row")
    api.expect(rows).to_have_count(3)
    api.expect(rows.nth(0)).to_contain_text("Training of Robin")
    api.expect(rows.nth(1)).to_contain_text("waits for the training of Robin")
    api.expect(rows.nth(2)).to_contain_text("waits for its turn")
    page.get_by_text("Cancel everything", exact=True).click()
    page.get_by_role("button", name="Yes, cancel everything").click()
    api.expect(page.locator(".empty")).to_be_visible()
    api.expect(page.locator("#waiting")).to_be_hidden()
    assert waiting.tune(tune["id"])["user_error"] == "The training was cancelled."
    assert balance(waiting) == before
    assert not waiting.files("prompts") or all(
        not path.is_file() for path in waiting.files("prompts")
    )


def test_a_cancelled_training_is_no_failure_and_is_tried_again_with_its_photos(
    waiting: Server, owner: httpx.Client
) -> None:
    credit(waiting)
    old = waiting.new_tune("Ann", branch="flux1", steps="120")
    waiting.http.post(f"/tunes/{old['id']}/cancel").raise_for_status()
    shown = owner.get(f"/app/tunes/{old['id']}").text
    assert 'class="state cancelled"' in shown and 'class="failed"' not in shown
    assert "120 steps for 4 photos." in shown and "It costs $0.12." in shown
    before = balance(waiting)
    answer = owner.post(f"/app/tunes/{old['id']}/again")
    number = int(answer.headers["location"].rpartition("/")[2])
    made = waiting.tune(number)
    assert (made["title"], made["steps"]) == ("Ann", 120) and number != old["id"]
    assert balance(waiting) == before - 12_000
    kept = {path.name: path.read_bytes() for path in waiting.files(f"tunes/{old['id']}")}
    now = {path.name: path.read_bytes() for path in waiting.files(f"tunes/{number}")}
    assert kept == now and len(now) == 4
    waiting.http.delete(f"/tunes/{old['id']}").raise_for_status()
    assert len(waiting.files(f"tunes/{number}")) == 4  # they stand on their own
    assert owner.post(f"/app/tunes/{number}/again").status_code == 422  # it waits, and did not fail


def test_what_is_another_accounts_is_neither_seen_nor_ended(waiting: Server) -> None:
    credit(waiting)
    number = ask(waiting, "a quiet harbour")
    stranger = browser(waiting)
    stranger.get(link(waiting, "stranger"))
    assert "quiet harbour" not in stranger.get("/app/queue").text
    assert stranger.post(f"/app/prompts/{number}/cancel").status_code == 404
    assert stranger.post("/app/queue/clear").status_code == 303
    assert waiting.prompt(number)["id"] == number
    waiting.http.delete(f"/prompts/{number}")


def test_what_is_drawn_is_not_ended_by_a_cancel_that_comes_late(
    server: Server, drawn: Json
) -> None:
    client = browser(server)
    client.get(link(server))
    number = drawn["prompts"][0]["id"]
    assert client.post(f"/app/prompts/{number}/cancel").status_code == 303
    assert server.prompt(number)["images"]
