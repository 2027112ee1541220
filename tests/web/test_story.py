"""The whole story in a browser: open the link, drop eight photos, train, see pictures, like one, delete. Takes the screenshots, too."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from fluxbooth.demo import PHOTOS
from tests.service.server import PATIENCE, Server
from tests.web.test_pages import link

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENS = Path(__file__).parents[2] / "docs" / "screens"
WIDTHS = (1280, 390)
LONG = PATIENCE * 1000  # ms
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")]


@pytest.fixture
def page() -> Iterator[api.Page]:
    """A page on which no script may fail and nothing of another host may be asked for."""
    wrong: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" and "422" not in said.text else None)
        page.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(("http://127.0.0.1", "blob:")) else None)
        yield page
        browser.close()
    assert not wrong


def shoot(page: api.Page, name: str, *, whole: bool = True) -> None:
    """A picture of the page at both widths, in which nothing may reach past the edge."""
    SCREENS.mkdir(exist_ok=True)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_load_state("networkidle") if name != "training" else None
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} at {width}"
        if whole:  # as tall as the page is, so that what sticks to the edge covers nothing
            page.set_viewport_size({"width": width, "height": min(2400, page.evaluate("document.documentElement.scrollHeight"))})
        target = SCREENS / f"{name}-{width}.png"
        page.screenshot(path=target)
        Image.open(target).convert("RGB").quantize(96, dither=Image.Dither.NONE).save(target, optimize=True)
        assert target.stat().st_size < 150_000, name
    page.set_viewport_size({"width": 1280, "height": 900})


def photos(folder: Path) -> list[Path]:
    """Seven of the demo's photos, of which one is made blurred, and the first one again."""
    paths = [Path(shutil.copy(path, folder)) for path in sorted(PHOTOS.glob("*.png"))[:7]]
    blurred = folder / "blurred.png"
    Image.open(paths.pop()).convert("RGB").filter(ImageFilter.GaussianBlur(9)).save(blurred)
    return [*paths, blurred, Path(shutil.copy(paths[0], folder / "again.png"))]


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
    shoot(page, "new")
    page.get_by_role("button", name="Train", exact=True).click()
    page.wait_for_url(re.compile(r"/app/tunes/\d+$"))
    api.expect(page.locator(".state")).to_contain_text("Trained", timeout=LONG)
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
    api.expect(page.locator("a.picture")).to_have_count(2, timeout=LONG)
    words.fill("sks man in a forest, laughing, wearing a green hoodie")
    page.locator(".shape", has_text="3:4").click()
    page.get_by_role("button", name="Make pictures").click()
    api.expect(page.locator("a.picture")).to_have_count(4, timeout=LONG)
    shoot(page, "create")


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
    shoot(page, "picture", whole=False)
    page.keyboard.press("Escape")
    api.expect(large).to_be_hidden()
    shoot(page, "gallery")
    page.get_by_role("checkbox", name="Liked only").click()
    api.expect(page.locator(".card")).to_have_count(1)
    page.locator("a.picture").first.click()
    api.expect(large.locator("dd").first).to_be_visible()
    page.keyboard.press("d")
    large.get_by_role("button", name="Delete for good").click()
    api.expect(page.locator(".card")).to_have_count(0)


def test_from_the_link_to_the_last_deletion(own_server: Server, page: api.Page, tmp_path: Path) -> None:
    page.goto(link(own_server))
    api.expect(page).to_have_url(re.compile(r"/app$"))
    shoot(page, "empty")
    tune = train(page, tmp_path)
    make_pictures(page)
    look_at_pictures(page)
    page.goto(tune)
    shoot(page, "tune")
    page.goto(tune.partition("/app")[0] + "/app/keys")
    page.get_by_label("What is it for?").fill("laptop")
    shoot(page, "keys")
    page.goto(tune)
    page.get_by_text("Delete this tune").click()
    page.get_by_label("Delete the pictures made with it, too").check()
    page.get_by_role("button", name="Delete for good").click()
    api.expect(page.locator(".empty")).to_be_visible()
    number = tune.rpartition("/")[2]
    assert own_server.http.get(f"/tunes/{number}").status_code == 404
    assert not (own_server.data / "files" / "tunes" / number).exists()


def test_a_training_is_seen_to_go_on_and_is_cancelled(own_server: Server, page: api.Page) -> None:
    long = own_server.new_tune("A long one", branch="flux1", steps="400")
    page.goto(link(own_server))
    page.get_by_role("link", name="A long one").click()
    page.emulate_media(color_scheme="dark")
    step = page.locator("#bar")
    api.expect(page.locator("#curve svg")).to_be_visible(timeout=LONG)
    before = step.get_attribute("value")
    api.expect(step).not_to_have_attribute("value", before or "", timeout=LONG)  # without a reload
    shoot(page, "training")
    page.get_by_text("Cancel the training").click()
    page.get_by_role("button", name="Yes, cancel").click()
    api.expect(page.locator(".failed").last).to_contain_text("The training was cancelled")
    assert own_server.tune(long["id"])["user_error"] == "The training was cancelled."
