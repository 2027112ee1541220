"""The whole story in a browser: open the link, drop eight photos, train, see pictures, like
one, delete. Takes the screenshots, too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import api, in_every_run, photos, shoot, window
from tests.support.server import PATIENCE, Server, until
from tests.support.visitors import link

LONG = PATIENCE * 1000  # ms
pytestmark = in_every_run


@pytest.fixture
def page() -> Iterator[api.Page]:
    with window(expected=("401", "402", "404", "422", "ERR_")) as page:
        yield page


def choose_photos(page: api.Page, folder: Path) -> None:
    (folder / "notes.jpg").write_text("These are words.\n" * 9)
    page.set_input_files("#images", [*photos(folder), folder / "notes.jpg"])
    api.expect(page.locator("#photos .number")).to_have_count(8, timeout=LONG)
    api.expect(page.locator("#photos .refused")).to_contain_text("notes.jpg", timeout=LONG)
    api.expect(page.locator("#photos")).to_contain_text("blurred")
    api.expect(page.locator("#photos li").first).to_contain_text("nearly the same as photo 8")
    api.expect(page.locator("#train")).to_be_enabled()
    page.get_by_role("button", name="Remove notes.jpg").click()
    page.reload()
    api.expect(page.locator("#photos .number")).to_have_count(8)  # a reload keeps them


def train(page: api.Page, folder: Path) -> str:
    """A new tune through its form, followed to its end without a reload by hand; its address."""
    page.goto(page.url.partition("/app")[0] + "/app/tunes/new")
    choose_photos(page, folder)
    page.get_by_label("Title").fill("Robin <b>")
    page.get_by_label("What do the photos show?").fill("man")
    page.get_by_text("Trial", exact=True).click()
    api.expect(page.locator("#plan")).to_contain_text("30 steps for 8 photos", timeout=LONG)
    page.evaluate("document.activeElement.blur()")
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url(re.compile(r"/app/tunes/\d+$"))
    page.reload()
    api.expect(page.locator(".state").first).to_contain_text("Trained", timeout=LONG)
    return page.url


def make_pictures(page: api.Page) -> None:
    page.get_by_role("link", name="Create pictures").click()
    words = page.get_by_label("What should the picture show?")
    api.expect(words).to_have_value("sks man ")
    words.fill("sks man at the beach, (smiling:1.4), with no hat")
    api.expect(page.locator("#advice li")).to_have_count(2, timeout=LONG)
    words.fill("sks man at the beach, smiling, in a red shirt")
    api.expect(page.locator("#advice li")).to_have_count(0, timeout=LONG)
    page.get_by_label("How many").fill("2")
    page.get_by_role("button", name="Make pictures").click()
    api.expect(page.locator(".card")).to_have_count(1)
    page.reload()  # while they are drawn
    api.expect(words).to_have_value("sks man at the beach, smiling, in a red shirt")
    api.expect(page.locator("a.picture")).to_have_count(2, timeout=LONG)
    api.expect(page.locator("#plan")).to_contain_text("2 pictures")
    words.fill("sks man in a forest, laughing, wearing a green hoodie")
    page.locator(".shape", has_text="3:4").click()
    page.get_by_role("button", name="Make pictures").click()
    api.expect(page.locator("a.picture")).to_have_count(4, timeout=LONG)


def look_at_pictures(page: api.Page) -> None:
    page.get_by_role("link", name="Gallery").click()
    page.locator("a.picture").first.click()
    large = page.get_by_role("dialog")
    api.expect(large.locator("dd").first).to_have_text("nano")
    address = large.locator(".large > img").get_attribute("src")
    page.keyboard.press("ArrowRight")
    api.expect(large.locator(".large > img")).not_to_have_attribute("src", address or "")
    page.keyboard.press("l")
    api.expect(large.get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    api.expect(large).to_be_hidden()
    page.get_by_role("checkbox", name="Liked only").click()
    api.expect(page.locator(".card")).to_have_count(1)
    page.locator("a.picture").first.click()
    api.expect(large.get_by_text("Delete", exact=True)).to_be_visible()
    page.keyboard.press("d")
    large.get_by_role("button", name="Delete for good").click()
    api.expect(page.locator(".card")).to_have_count(0)


@pytest.fixture
def composing(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, new, that writes themes without a language model."""
    with Server(tmp_path / "data", theme_composer="true") as server:
        yield server


def make_a_pack(page: api.Page) -> None:
    page.get_by_role("link", name="Packs").click()
    api.expect(page.locator(".packs li")).to_have_count(8)  # those of the first day
    page.get_by_role("link", name="New pack").click()
    page.get_by_label("Title").fill("Mine")
    page.locator(".choosing input").first.check()
    page.get_by_role("button", name="Make the pack").click()
    api.expect(page.get_by_role("heading", name="Mine")).to_be_visible()
    page.get_by_role("button", name="Draw", exact=True).click()
    api.expect(page.locator(".card").first).to_have_attribute("data-state", "done", timeout=LONG)


def run_a_theme(page: api.Page) -> None:
    page.get_by_role("link", name="Themes").click()
    page.get_by_label("Topic").fill("tales of the sea")
    page.get_by_role("button", name="Write ten drafts").click()
    for number in range(2, 10):
        page.get_by_label(f"Draw number {number + 1}", exact=True).uncheck()
    page.get_by_label("Words of number 2").fill(
        "sks man on a raft, waving, in bright sun over a calm sea"
    )
    api.expect(page.locator("#sum")).to_have_text("2 prompts, 2 pictures.")
    page.get_by_role("button", name="Draw what is ticked").click()
    api.expect(page.locator(".card", has_text="on a raft")).to_have_attribute(
        "data-state", "done", timeout=LONG
    )


def test_from_the_link_to_the_last_deletion(
    composing: Server, page: api.Page, tmp_path: Path
) -> None:
    page.goto(link(composing))
    api.expect(page).to_have_url(re.compile(r"/app$"))
    assert not shoot(page, "empty")
    tune = train(page, tmp_path)
    make_pictures(page)
    look_at_pictures(page)
    make_a_pack(page)
    run_a_theme(page)
    page.goto(tune)
    page.get_by_text("Delete this tune").click()
    page.get_by_label("Delete the pictures made with it, too").check()
    page.get_by_role("button", name="Delete for good").click()
    api.expect(page.locator(".empty")).to_be_visible()
    number = tune.rpartition("/")[2]
    assert composing.http.get(f"/tunes/{number}").status_code == 404
    assert not composing.files(f"tunes/{number}")


def test_a_training_is_seen_to_go_on_though_its_worker_is_killed_and_is_cancelled(
    own_server: Server, page: api.Page
) -> None:
    long = own_server.new_tune("A long one", branch="flux1", steps="400")
    page.goto(link(own_server))
    page.get_by_role("link", name="A long one").click()
    step = page.locator("#bar")
    page.get_by_text("How the learning goes").click()
    api.expect(page.locator("#curve svg")).to_be_visible(timeout=LONG)
    before = step.get_attribute("value")
    api.expect(step).not_to_have_attribute("value", before or "", timeout=LONG)  # without a reload
    own_server.kill("device process")
    until(lambda: own_server.device_process(), "another process works")
    api.expect(page.locator("#resumed")).to_contain_text("It was interrupted", timeout=LONG)
    page.reload()
    api.expect(page.locator("#resumed")).to_contain_text("It was interrupted", timeout=LONG)
    page.get_by_text("Cancel the training").click()
    page.get_by_role("button", name="Yes, cancel").click()
    api.expect(page.locator(".ended")).to_contain_text("The training was cancelled")
    assert own_server.tune(long["id"])["user_error"] == "The training was cancelled."


def test_a_lost_network_and_a_lost_session_are_said_and_nothing_typed_is_lost(
    server: Server, page: api.Page, tmp_path: Path
) -> None:
    page.goto(link(server))
    page.get_by_role("link", name=re.compile("New tune|Train your first")).first.click()
    (first,) = photos(tmp_path)[:1]
    page.context.set_offline(True)
    page.set_input_files("#images", [first])
    api.expect(page.locator("#progress")).to_contain_text("The connection is lost")
    page.context.set_offline(False)
    api.expect(page.locator("#photos .number")).to_have_count(1, timeout=LONG)
    page.goto(page.url.partition("/app")[0] + "/app/create")
    page.get_by_label("What should the picture show?").fill(
        "a lighthouse in the evening, seen from the sea"
    )
    page.context.clear_cookies()
    page.get_by_role("button", name="Make pictures").click()
    api.expect(page.locator("#errors")).to_contain_text("You are signed out")
    api.expect(page.get_by_label("What should the picture show?")).to_have_value(
        "a lighthouse in the evening, seen from the sea"
    )


@pytest.fixture
def charging(tmp_path: Path) -> Iterator[Server]:
    """A server whose pictures cost a cent, of which the owner has none."""
    with Server(tmp_path / "data", flags=["--no-worker"], prices='{"picture": 1000}') as server:
        yield server


def test_what_cannot_be_paid_is_said_and_nothing_typed_is_lost(
    charging: Server, page: api.Page
) -> None:
    page.goto(link(charging))
    page.goto(page.url.partition("/app")[0] + "/app/create")
    words = page.get_by_label("What should the picture show?")
    words.fill("a lighthouse in the evening, seen from the sea")
    api.expect(page.locator("#plan")).to_contain_text("$0.01")  # before the click
    page.get_by_role("button", name="Make pictures").click()
    api.expect(page.locator("#errors")).to_contain_text("Funds do not cover this")
    api.expect(words).to_have_value("a lighthouse in the evening, seen from the sea")
    assert charging.http.get("/prompts").json() == []


def test_a_training_is_followed_where_streams_are_blocked(server: Server, page: api.Page) -> None:
    page.goto(link(server))

    def no_streams(route: api.Route) -> None:
        stream = "text/event-stream" in route.request.headers.get("accept", "")
        route.abort() if stream else route.continue_()

    page.route(re.compile("/progress"), no_streams)
    tune = server.new_tune("No stream", branch="flux1", steps="8")
    page.goto(page.url.partition("/app")[0] + f"/app/tunes/{tune['id']}")
    api.expect(page.locator(".state").first).to_contain_text("Trained", timeout=LONG)


def test_eight_tabs_follow_a_training_at_once(server: Server, page: api.Page) -> None:
    page.goto(link(server))
    tune = server.new_tune("Eight tabs", branch="flux1", steps="5000")
    address = page.url.partition("/app")[0] + f"/app/tunes/{tune['id']}"
    tabs = [page, *(page.context.new_page() for _ in range(7))]
    for tab in tabs:
        tab.goto(address)
    for tab in tabs:
        tab.bring_to_front()
        api.expect(tab.locator("#bar")).not_to_have_attribute("value", "0", timeout=LONG)
    server.http.delete(f"/tunes/{tune['id']}").raise_for_status()
