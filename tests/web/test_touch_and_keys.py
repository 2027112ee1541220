"""From the link to a liked and downloaded picture, on a phone by touch, and with keys alone; a
reload at any moment loses nothing, and what is away is said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chromium import api, in_every_run, window
from tests.support.server import PATIENCE, Json, Server
from tests.support.visitors import link

LONG = PATIENCE * 1000  # ms
WORDS = "sks man on a beach, smiling, in bright sun"
pytestmark = in_every_run


@pytest.fixture
def phone() -> Iterator[api.Page]:
    with window(expected=("ERR_",), phone=True) as page:
        yield page


@pytest.fixture
def desk() -> Iterator[api.Page]:
    with window(expected=("ERR_",)) as page:
        yield page


def test_a_picture_on_a_phone_by_touch_with_reloads_between(
    server: Server, drawn: Json, phone: api.Page
) -> None:
    phone.goto(link(server))
    phone.get_by_role("link", name="Robin").first.tap()
    phone.get_by_role("link", name="Create pictures").tap()
    words = phone.get_by_label("What should the picture show?")
    words.fill(WORDS)
    phone.reload()
    api.expect(words).to_have_value(WORDS)
    phone.get_by_role("button", name="Make pictures").tap()
    coming = phone.locator(".card").first
    api.expect(coming).to_contain_text("on a beach")
    api.expect(coming.locator(".pictures")).to_be_in_viewport()
    phone.reload()  # while it is drawn
    api.expect(coming.locator("a.picture")).to_be_visible(timeout=LONG)
    coming.locator("a.picture").tap()
    large = phone.get_by_role("dialog")
    large.get_by_role("button", name="Like").tap()
    api.expect(large.get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    phone.reload()
    api.expect(large.get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    with phone.expect_download() as got:
        large.get_by_role("link", name="Download").tap()
    assert got.value.suggested_filename.startswith("fluxbooth-")
    large.get_by_role("button", name="Close").tap()
    api.expect(phone).not_to_have_url(re.compile("#"))  # for one is back where one was
    phone.goto(f"http://127.0.0.1:{server.port}/app/gallery?liked=1&words=on+a+beach")
    phone.locator(".pick input").first.tap()
    api.expect(phone.locator("#count")).to_have_text("Ticked: 1")
    phone.locator("#chosen summary").tap()
    phone.get_by_role("button", name="Delete for good").tap()
    api.expect(phone.locator(".card")).to_have_count(0)


def test_drafts_of_a_theme_survive_a_reload_until_they_are_drawn(
    server: Server, drawn: Json, phone: api.Page
) -> None:
    phone.goto(link(server))
    address = f"http://127.0.0.1:{server.port}/app/themes"
    phone.goto(f"{address}?tune={drawn['id']}&theme=a+day+at+sea")
    phone.get_by_role("button", name="Write ten drafts").tap()
    draft = phone.get_by_label("Words of number 1", exact=True)
    draft.fill("sks man on a raft, waving, in bright sun over a calm sea")
    for number in range(2, 11):
        phone.get_by_label(f"Draw number {number}", exact=True).uncheck()
    phone.reload()
    api.expect(draft).to_have_value(re.compile("on a raft"))
    api.expect(phone.locator("#sum")).to_have_text("1 prompts, 1 pictures.")
    phone.get_by_role("button", name="Draw what is ticked").tap()
    api.expect(
        phone.locator(".card", has_text="on a raft").locator(".pictures")
    ).to_be_in_viewport()
    phone.goto(address)
    phone.wait_for_load_state("networkidle")
    api.expect(draft).to_have_count(0)


def test_with_keys_alone(server: Server, drawn: Json, desk: api.Page) -> None:
    desk.goto(link(server))
    desk.goto(f"http://127.0.0.1:{server.port}/app/create?tune={drawn['id']}")
    words = desk.get_by_label("What should the picture show?")
    words.focus()
    desk.keyboard.press("Control+A")
    desk.keyboard.type("sks man by a lake, laughing, wearing a red hoodie")
    desk.keyboard.press("Control+Enter")
    card = desk.locator(".card", has_text="by a lake").first
    api.expect(card.locator("a.picture")).to_be_visible(timeout=LONG)
    card.locator("a.picture").focus()
    desk.keyboard.press("Enter")
    large = desk.get_by_role("dialog")
    api.expect(large).to_be_visible()
    desk.keyboard.press("l")
    api.expect(large.get_by_role("button", name="Like")).to_have_attribute("aria-pressed", "true")
    desk.keyboard.press("d")
    api.expect(large.get_by_role("button", name="Delete for good")).to_be_focused()
    desk.keyboard.press("Enter")
    api.expect(card).to_have_count(0)


def test_a_lost_network_is_said_and_taken_back(server: Server, drawn: Json, desk: api.Page) -> None:
    desk.goto(link(server))
    desk.goto(f"http://127.0.0.1:{server.port}/app/create?tune={drawn['id']}")
    said = desk.locator("#connection")
    desk.context.set_offline(True)
    api.expect(said).to_contain_text("You are offline")
    desk.get_by_role("button", name="Make pictures").click()
    api.expect(desk.locator("#errors")).to_contain_text("does not answer")
    desk.context.set_offline(False)
    api.expect(said).to_have_text("")
    api.expect(desk.locator("#errors")).to_have_text("")  # it heals itself


def test_a_server_that_is_away_is_said_and_so_is_one_that_does_no_work(
    tmp_path: Path, desk: api.Page
) -> None:
    with Server(tmp_path / "data", flags=["--no-worker"]) as quiet:
        desk.goto(link(quiet))
        quiet.new_tune("Robin")
        desk.goto(f"http://127.0.0.1:{quiet.port}/app/queue")
        said = desk.locator("#connection")
        api.expect(said).to_contain_text("Nothing is trained or drawn at the moment")
        quiet.stop()
        # the server is asked while a link is pressed, which then leads nowhere, and the page stays
        gallery = desk.get_by_role("navigation").get_by_role("link", name="Gallery")
        gallery.hover()
        desk.mouse.down()
        api.expect(said).to_contain_text("The server does not answer")
        desk.mouse.up()
        assert desk.url.endswith("/app/queue")
        quiet.start()
        api.expect(said).to_contain_text("Nothing is trained or drawn at the moment")
        gallery.click()
        desk.wait_for_url("**/app/gallery")
