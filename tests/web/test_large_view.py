"""The large view of a picture: Back closes it, a reload shows it again, a swipe turns."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.chromium import api, in_every_run, window
from tests.support.server import Json, Server
from tests.support.visitors import link

pytestmark = in_every_run
SWIPE = """(dialog, across) => {
    const touch = (x) => new Touch({ identifier: 1, target: dialog, clientX: x, clientY: 300 });
    dialog.dispatchEvent(new TouchEvent("touchstart", { touches: [touch(200)], bubbles: true }));
    dialog.dispatchEvent(new TouchEvent("touchend", { changedTouches: [touch(200 + across)], bubbles: true }));
}"""


@pytest.fixture
def page() -> Iterator[api.Page]:
    with window() as page:
        yield page


def test_back_closes_it_a_reload_keeps_it_and_a_swipe_turns(
    server: Server, drawn: Json, page: api.Page
) -> None:
    page.goto(link(server))
    gallery = f"http://127.0.0.1:{server.port}/app/gallery?tune={drawn['id']}"
    page.goto(gallery)
    page.locator("a.picture").first.click()
    large, picture = page.get_by_role("dialog"), page.locator("dialog .large img").first
    api.expect(picture).to_be_visible()
    first = picture.get_attribute("src") or ""
    api.expect(page).to_have_url(re.compile("#picture="))
    page.go_back()
    api.expect(large).to_be_hidden()
    api.expect(page).to_have_url(gallery)
    page.go_forward()
    api.expect(picture).to_have_attribute("src", first)
    page.reload()
    api.expect(picture).to_have_attribute("src", first)
    large.evaluate(SWIPE, -120)
    api.expect(picture).not_to_have_attribute("src", first)
    large.evaluate(SWIPE, 120)
    api.expect(picture).to_have_attribute("src", first)
    large.evaluate(SWIPE, -20)  # a tap that slipped
    api.expect(picture).to_have_attribute("src", first)
    page.keyboard.press("Escape")
    api.expect(large).to_be_hidden()
    api.expect(page).to_have_url(gallery)
