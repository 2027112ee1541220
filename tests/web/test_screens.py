"""Every page in a real browser, wide and narrow, light and dark: nothing sticks out, and
axe-core finds nothing. Draws docs/screens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.chromium import api, needed, photos, shoot, window
from tests.support.server import PATIENCE, Json, Server
from tests.support.visitors import link

LONG = PATIENCE * 1000  # ms
pytestmark = needed
TEXTS = (
    "in a red hoodie, smiling, at the beach",
    "in a white shirt, in a forest",
    "in a blue sweater, laughing, in snowy mountains",
)
PAGES = {
    "tunes": "/app",
    "tune": "/app/tunes/{tune}",
    "packs": "/app/packs",
    "pack": "/app/packs/corporate",
    "new-pack": "/app/packs/new",
    "gallery": "/app/gallery",
    "queue": "/app/queue",
    "prices": "/app/prices",
    "people": "/app/people",
    "account": "/app/account",
    "server": "/app/server",
    "nothing": "/app/nowhere",
}


@pytest.fixture(scope="module")
def learnt(server: Server) -> Json:
    """A tune that knows its subject, with pictures to show."""
    tune = server.new_tune("Robin", photos=10, branch="flux1", steps="200")
    server.finished_tune(tune["id"])
    for number, text in enumerate(TEXTS):
        words = {"text": f"ohwx man {text}", "num_images": 2, "seed": 3 + number}
        answer = server.http.post(f"/tunes/{tune['id']}/prompts", json={"prompt": words})
        server.finished_prompt(answer.raise_for_status().json()["id"])
    return tune


def test_pages_that_stand_still(server: Server, learnt: Json, tmp_path: Path) -> None:
    wrong: list[str] = []
    with window(expected=("404",)) as page:
        origin = f"http://127.0.0.1:{server.port}"
        page.goto(f"{origin}/app/login")
        wrong += shoot(page, "login")
        page.goto(link(server))
        for name, path in PAGES.items():
            page.goto(origin + path.format(tune=learnt["id"]))
            wrong += shoot(page, name)
        page.goto(f"{origin}/app/create?tune={learnt['id']}")
        page.get_by_label("What should the picture show?").fill(
            "ohwx man at the beach, (smiling:1.4), with no hat"
        )
        api.expect(page.locator("#advice li")).to_have_count(2)
        page.evaluate("document.activeElement.blur()")
        wrong += shoot(page, "create")
        page.goto(f"{origin}/app/gallery")
        page.locator("a.picture").first.click()
        page.locator("dialog img").first.wait_for()
        wrong += shoot(page, "picture", whole=False)
        page.goto(f"{origin}/app/tunes/new")
        page.set_input_files("#images", photos(tmp_path))
        api.expect(page.locator("#photos .number")).to_have_count(8)
        page.get_by_label("Title").fill("Robin")
        page.get_by_label("What do the photos show?").fill("man")
        page.get_by_label("Caption of photo 2").fill("ohwx man in a green shirt, smiling")
        page.get_by_label("Move photo 8 to the front").click()
        api.expect(page.locator("#plan")).to_contain_text("for 8 photos")
        page.evaluate("document.activeElement.blur()")
        wrong += shoot(page, "new")
        page.goto(f"{origin}/app/models")
        page.locator("#machine dl").wait_for()
        wrong += shoot(page, "models")
        page.goto(f"{origin}/app/themes?tune={learnt['id']}&theme=tales of the sea")
        page.get_by_role("button", name="Write ten drafts").click()
        page.locator("#draft-10").wait_for()
        page.locator("#draft-2").fill(
            "ohwx man with no hat on a (boat:1.4), in bright sun on a calm sea"
        )
        page.locator("#advice-2 li").nth(1).wait_for()
        page.locator("input[name='draft[2][keep]']").uncheck()
        page.evaluate("document.activeElement.blur()")
        wrong += shoot(page, "themes")
    assert not wrong, wrong


def test_a_page_that_moves(own_server: Server) -> None:
    tune = own_server.new_tune("Robin", photos=10, branch="flux1", steps="400")
    with window() as page:
        page.goto(link(own_server))
        page.goto(f"http://127.0.0.1:{own_server.port}/app/tunes/{tune['id']}")
        # a curve that shows something
        api.expect(page.locator("#where")).to_contain_text(
            re.compile(r"Step [3-9]\d"), timeout=LONG
        )
        assert not shoot(page, "training", moving=True)
    own_server.http.post(f"/tunes/{tune['id']}/cancel").raise_for_status()
