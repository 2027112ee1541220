"""What was typed and not sent survives a reload, a session that ended, and a server that stopped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxbooth.evaluation.demo import PHOTOS
from tests.support.chromium import api, in_every_run, photos, window
from tests.support.server import PATIENCE, Server
from tests.support.visitors import link

LONG = PATIENCE * 1000  # ms
PHOTO = sorted(PHOTOS.glob("*.png"))[0]
WORDS = "sks man by a lighthouse in the evening, seen from the sea"
pytestmark = in_every_run


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Server]:
    """A server of its own, on which nothing is drawn."""
    with Server(tmp_path / "data", flags=["--no-worker"]) as server:
        yield server


@pytest.fixture
def page() -> Iterator[api.Page]:
    with window(expected=("401", "ERR_")) as page:
        yield page


def paint(page: api.Page) -> None:
    canvas = page.locator("#paint")
    canvas.scroll_into_view_if_needed()
    place = canvas.bounding_box()
    assert place
    page.mouse.move(place["x"] + 0.3 * place["width"], place["y"] + 0.2 * place["height"])
    page.mouse.down()
    page.mouse.move(place["x"] + 0.7 * place["width"], place["y"] + 0.2 * place["height"], steps=4)
    page.mouse.up()


def painted(page: api.Page) -> int:
    """Pixels of the mask that have paint."""
    counted = """canvas => canvas.getContext("2d")
        .getImageData(0, 0, canvas.width, canvas.height).data.filter((v, i) => i % 4 == 3 && v).length"""
    return int(page.locator("#paint").evaluate(counted))


def as_left(page: api.Page) -> None:
    api.expect(page.locator("#text")).to_have_value(WORDS)
    api.expect(page.locator("#count")).to_have_value("3")
    api.expect(page.locator("#seed")).to_have_value("7")
    api.expect(page.locator(".shape", has_text="3:4").locator("input")).to_be_checked()
    api.expect(page.locator("#chips .chip")).to_have_count(1)
    api.expect(page.locator("#chips select")).to_have_value("0.6")
    api.expect(page.locator("#paint")).to_be_visible()
    api.expect(page.locator("#strength")).to_have_value("0.5")
    assert painted(page) > 100


def test_create_is_as_it_was_left(quiet: Server, page: api.Page) -> None:
    tune = quiet.new_tune("Robin")
    page.goto(link(quiet))
    page.goto(f"http://127.0.0.1:{quiet.port}/app/create")
    page.get_by_text("Insert a tune").click()
    page.locator(f"#insert button[data-tune='{tune['id']}']").click()
    page.locator("#chips select").select_option("0.6")
    page.get_by_text("Start from a picture").click()
    page.set_input_files("#input", PHOTO)
    api.expect(page.locator("#paint")).to_be_visible()
    paint(page)
    page.locator("#strength").fill("0.5")
    page.locator("#text").fill(WORDS)
    page.locator("#count").fill("3")
    page.get_by_text("The very same picture again").click()
    page.locator("#seed").fill("7")
    page.locator(".shape", has_text="3:4").click()
    page.reload()
    as_left(page)
    page.locator("#seed").press("End")
    page.locator("#seed").press_sequentially("7")
    page.locator("#seed").press("Backspace")
    quiet.stop()
    page.get_by_role("button", name="Make pictures").click()
    api.expect(page.locator("#errors")).to_contain_text("does not answer")
    quiet.start()
    page.reload()
    as_left(page)
    page.context.clear_cookies()
    page.get_by_role("button", name="Make pictures").click()
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("Or paste the link here").fill(link(quiet))
    page.locator("form", has_text="paste").get_by_role("button").click()
    api.expect(page).to_have_url(re.compile(r"/app/create$"))
    as_left(page)
    assert quiet.http.get("/prompts").json() == []
    page.get_by_role("button", name="Make pictures").click()
    api.expect(page.locator(".card")).to_have_count(1)
    (made,) = quiet.http.get("/prompts").json()
    assert made["input_image"] and made["mask_image"] and made["num_images"] == 3
    page.get_by_role("button", name="Sign out").click()
    page.goto(link(quiet))
    page.goto(f"http://127.0.0.1:{quiet.port}/app/create")
    api.expect(page.locator("#text")).to_have_value("")  # another person may sit here


def test_a_new_tune_is_as_it_was_left(quiet: Server, page: api.Page, tmp_path: Path) -> None:
    def as_left() -> None:
        api.expect(page.locator("#photos .number")).to_have_count(8, timeout=LONG)
        api.expect(page.get_by_label("Title")).to_have_value("Robin of the hood")
        api.expect(page.get_by_label("What do the photos show?")).to_have_value("woman")
        api.expect(page.get_by_label("Trial")).to_be_checked()
        api.expect(page.get_by_label("Caption of photo 2")).to_have_value("sks woman in a tree")

    page.goto(link(quiet))
    page.goto(f"http://127.0.0.1:{quiet.port}/app/tunes/new")
    page.set_input_files("#images", photos(tmp_path))
    api.expect(page.locator("#photos .number")).to_have_count(8, timeout=LONG)
    page.get_by_label("Title").fill("Robin of the hood")
    page.get_by_label("What do the photos show?").fill("woman")
    page.get_by_text("Trial", exact=True).click()
    with page.expect_response(re.compile("/caption$")):
        page.get_by_label("Caption of photo 2").fill("sks woman in a tree")
    page.reload()
    as_left()
    page.context.clear_cookies()
    page.get_by_role("button", name="Train", exact=True).click()
    page.get_by_label("Or paste the link here").fill(link(quiet))
    page.locator("form", has_text="paste").get_by_role("button").click()
    as_left()
    page.goto(f"http://127.0.0.1:{quiet.port}/app/tunes/new")
    page.get_by_role("link", name="Go on with it").click()
    as_left()
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url(re.compile(r"/app/tunes/\d+$"))
    page.goto(f"http://127.0.0.1:{quiet.port}/app/tunes/new")
    page.wait_for_load_state("networkidle")
    api.expect(page.get_by_role("link", name="Go on with it")).to_be_hidden()


def test_what_is_typed_before_the_scripts_of_a_page_arrive(quiet: Server, page: api.Page) -> None:
    """As on a slow line: it is there after a reload, and once they have come."""
    page.goto(link(quiet))
    for path, label, script in (
        ("create", "What should the picture show?", "**/create.js"),
        ("tunes/new", "Title", "**/new.js"),
    ):
        page.route(script, lambda route: None)
        page.goto(f"http://127.0.0.1:{quiet.port}/app/{path}", wait_until="commit")
        page.get_by_label(label).fill(WORDS)
        page.unroute(script)
        for _ in range(2):
            page.reload()
            api.expect(page.get_by_label(label)).to_have_value(WORDS)


@pytest.mark.parametrize(
    ("path", "script", "chooser", "arrived"),
    [("create", "create.js", "#input", "#paint"), ("tunes/new", "new.js", "#images", ".number")],
)
def test_a_picture_that_is_chosen_before_the_scripts_arrive(
    path: str, script: str, chooser: str, arrived: str, quiet: Server, page: api.Page
) -> None:
    page.goto(link(quiet))
    waiting: list[api.Route] = []
    page.route(f"**/{script}", lambda route: waiting.append(route))
    with page.expect_request(f"**/{script}"):
        page.goto(f"http://127.0.0.1:{quiet.port}/app/{path}", wait_until="commit")
    page.set_input_files(chooser, PHOTO)
    waiting[0].continue_()
    page.unroute(f"**/{script}")
    api.expect(page.locator(arrived)).to_be_visible()
    page.reload()
    api.expect(page.locator(arrived)).to_be_visible()


def test_a_photo_that_is_too_large_is_refused_before_it_is_sent(
    tmp_path: Path, page: api.Page
) -> None:
    with Server(tmp_path / "data", flags=["--no-worker"], image_mb="1") as server:
        page.goto(link(server))
        page.goto(f"http://127.0.0.1:{server.port}/app/tunes/new")
        api.expect(page.locator("#photos-help")).to_contain_text("At most 1 MB each.")
        sent: list[str] = []
        page.on("request", lambda asked: sent.append(asked.method))
        large = tmp_path / "large.png"
        large.write_bytes(b"\x89PNG" + bytes(2**20))
        page.set_input_files("#images", [large])
        refused = page.locator("#photos .refused")
        api.expect(refused).to_contain_text("This file has 1.0 MB, and 1 MB are the most")
        assert "POST" not in sent
