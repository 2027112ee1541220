"""In a real browser: signing in, a new tune, a training as it goes on, and what one does with
it when it is done."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.web.http import reports
from tests.support.chromium import api, faults, needed, photos, window
from tests.support.server import PATIENCE, Json, Server
from tests.support.visitors import browser, link
from tests.web.test_every_page import SHIFTED, SHIFTS

LONG = PATIENCE * 1000  # ms
pytestmark = needed
NAMES = sorted(PHOTOS.glob("*.png"))
DROP = """([place, files]) => {
    const data = new DataTransfer();
    for (const [name, text] of files) data.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));
    document.querySelector(place).dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data}));
}"""


@pytest.fixture
def page() -> Iterator[api.Page]:
    with window(expected=("403", "404", "422", "ERR_")) as page:
        yield page


@pytest.fixture(scope="module")
def staged(server: Server) -> Json:
    """A tune with checkpoints to choose from, likeness and samples."""
    tune = server.new_tune("Robin by stages", photos=5, branch="flux1", steps="20")
    return server.finished_tune(tune["id"])


def test_a_link_signs_in_leaves_the_address_bar_and_is_used_up(
    server: Server, page: api.Page, staged: Json
) -> None:
    address = link(server)
    origin = address.partition("/app")[0]
    page.goto(f"{origin}/app/gallery?liked=1")
    api.expect(page).to_have_url(re.compile("/app/login\\?next=/app/gallery%3Fliked%3D1$"))
    page.get_by_label("Or paste the link here").fill(address)
    page.get_by_label("Or paste the link here").press("Enter")
    api.expect(page).to_have_url(f"{origin}/app/gallery?liked=1")
    assert "token" not in page.url
    page.context.clear_cookies()
    page.goto(address)
    api.expect(page.locator("#errors")).to_contain_text("used already")
    photo = browser(server).get(
        f"/app/tunes/{staged['id']}/photos/1", headers={"Fluxbooth-Part": "1"}
    )
    assert photo.status_code == 401


def test_a_new_tune(server: Server, page: api.Page, tmp_path: Path) -> None:
    page.goto(link(server))
    page.goto(page.url.partition("/app")[0] + "/app/tunes/new")
    photos_arrive(page, tmp_path)
    photos_are_put_right(page, tmp_path)
    the_network_is_lost(page)
    the_plan_follows_the_form(page)
    a_form_that_will_not_do_keeps_everything(page)
    page.get_by_label("What do the photos show?").fill("man")
    promised = (re.search(r"(\d+) steps", page.locator("#plan").inner_text()) or [""])[1]
    # pressed twice: one tune
    page.evaluate(
        "{ const form = document.querySelector('#new'); form.requestSubmit(); form.requestSubmit(); }"
    )
    page.wait_for_url(re.compile(r"/app/tunes/\d+$"))
    number = int(page.url.rpartition("/")[2])
    assert [
        tune["id"] for tune in server.http.get("/tunes", params={"title": "Robin kept"}).json()
    ] == [number]
    api.expect(page.locator("#bar")).to_have_attribute("max", promised)
    assert len(server.tune(number)["orig_images"]) == 8
    server.http.delete(f"/tunes/{number}")


def test_captions_are_proposed_on_a_phone_and_what_is_typed_stays(
    server: Server, tmp_path: Path
) -> None:
    with window(phone=True) as phone:
        phone.add_init_script(SHIFTS)
        phone.goto(link(server))
        phone.goto(phone.url.partition("/app")[0] + "/app/tunes/new")
        # on whose photos the reader is sure of the clothes
        phone.set_input_files("#images", [NAMES[number] for number in (0, 3, 4, 6)])
        api.expect(phone.locator("#photos .number")).to_have_count(4, timeout=LONG)
        before = phone.evaluate(SHIFTED)
        own = phone.get_by_label("Caption of photo 1")
        own.fill("ohwx man on a chair")  # while they are being proposed
        proposed = phone.get_by_label("Caption of photo 2")
        api.expect(proposed).to_have_value(re.compile(r"^\[trigger\] wearing "), timeout=LONG / 4)
        api.expect(own).to_have_value("ohwx man on a chair")
        phone.get_by_label("What do the photos show?").fill("bag")
        phone.get_by_label("What do the photos show?").blur()
        api.expect(proposed).to_have_value(re.compile(r"^\[trigger\], "), timeout=LONG)
        assert phone.evaluate(SHIFTED) - before < 0.05
        with phone.expect_response(re.compile("/caption$")):
            proposed.fill("")
        phone.reload()
        api.expect(own).to_have_value("ohwx man on a chair", timeout=LONG)
        api.expect(phone.get_by_label("Caption of photo 3")).not_to_have_value("", timeout=LONG)
        api.expect(proposed).to_have_value("")
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390
        assert not faults(phone)


def photos_arrive(page: api.Page, folder: Path) -> None:
    api.expect(page.locator("#train")).to_be_disabled()
    dropped = [(path.name, base64.b64encode(path.read_bytes()).decode()) for path in NAMES[7:9]]
    page.evaluate(DROP, ["#drop", dropped])
    api.expect(page.locator("#photos .number")).to_have_count(2, timeout=LONG)
    assert page.locator("#photos img").first.get_attribute("alt") == NAMES[7].name
    api.expect(page.locator("#train")).to_be_disabled()
    api.expect(page.locator("#plan")).to_contain_text("4 at least, 2 so far")
    (folder / "notes.jpg").write_text("These are words.\n" * 9)
    small = folder / "small.png"
    Image.open(NAMES[6]).resize((60, 60)).save(small)
    turned = folder / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    Image.open(NAMES[5]).convert("RGB").crop((0, 0, 120, 80)).save(turned, exif=exif)
    page.set_input_files("#images", [*photos(folder)[4:], small, turned, folder / "notes.jpg"])
    api.expect(page.locator("#photos .number")).to_have_count(8, timeout=LONG)
    api.expect(page.locator("#photos .refused")).to_contain_text("notes.jpg", timeout=LONG)
    shown = page.locator("#photos")
    for words in ("blurred", "smaller than the training size"):
        api.expect(shown).to_contain_text(words)
    page.get_by_role("button", name="Remove notes.jpg").click()
    api.expect(page.locator("#train")).to_be_enabled()
    upright = page.locator("#photos img[alt='turned.jpg']")
    assert upright.evaluate(
        "image => image.decode().then(() => image.naturalHeight > image.naturalWidth)"
    )


def photos_are_put_right(page: api.Page, folder: Path) -> None:
    before = page.locator("#photos .frame img").evaluate_all(
        "images => images.map(image => image.alt)"
    )
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="Replace photo 2").click()
    chosen.value.set_files(NAMES[0])
    api.expect(page.locator("#photos .frame img").nth(1)).to_have_attribute(
        "alt", NAMES[0].name, timeout=LONG
    )
    api.expect(page.locator("#photos .number")).to_have_count(len(before))
    page.set_input_files("#images", [NAMES[7]])
    api.expect(page.locator("#photos li").first).to_contain_text(
        "nearly the same as photo 9", timeout=LONG
    )
    page.get_by_role("button", name="Remove photo 9").click()
    api.expect(page.locator("#photos li").first).not_to_contain_text("nearly the same")
    page.get_by_label("Caption of photo 1").fill("ohwx man with a beard, laughing")
    page.get_by_role("button", name="Move photo 1 back").click()
    api.expect(page.get_by_label("Caption of photo 2")).to_have_value(
        "ohwx man with a beard, laughing"
    )


def the_network_is_lost(page: api.Page) -> None:
    page.context.set_offline(True)
    page.set_input_files("#images", [NAMES[9]])
    api.expect(page.locator("#progress")).to_contain_text("The connection is lost")
    page.context.set_offline(False)
    api.expect(page.locator("#photos .number")).to_have_count(9, timeout=LONG)  # without a click
    page.get_by_role("button", name="Remove photo 9").click()
    api.expect(page.locator("#photos .number")).to_have_count(8)


def the_plan_follows_the_form(page: api.Page) -> None:
    plan = page.locator("#plan")
    api.expect(plan).to_contain_text("300 steps for 8 photos")
    page.get_by_text("Thorough", exact=True).click()
    api.expect(plan).to_contain_text("800 steps for 8 photos")
    page.get_by_text("More options").click()
    page.get_by_role("spinbutton", name="Steps").fill("44")
    page.get_by_role("spinbutton", name="Steps").press("Tab")
    api.expect(plan).to_contain_text("44 steps for 8 photos")
    api.expect(plan).to_contain_text("Deleted 30 days after the training")
    page.get_by_label("Keep until I delete it").check()
    api.expect(plan).to_contain_text("Kept until you delete it")


def a_form_that_will_not_do_keeps_everything(page: api.Page) -> None:
    page.get_by_label("Title").fill("Robin kept")
    page.get_by_label("What do the photos show?").fill("a:b")
    page.get_by_role("button", name="Train", exact=True).click()
    api.expect(page.locator("#errors")).to_be_focused()
    api.expect(page.locator("#photos .number")).to_have_count(8, timeout=LONG)
    api.expect(page.get_by_label("Title")).to_have_value("Robin kept")
    api.expect(page.get_by_role("spinbutton", name="Steps")).to_have_value("44")
    api.expect(page.get_by_label("Caption of photo 2")).to_have_value(
        "ohwx man with a beard, laughing"
    )


def test_a_training_goes_on_before_ones_eyes_and_is_cancelled(
    server: Server, page: api.Page
) -> None:
    long = server.new_tune("A long one", branch="flux1", steps="3000")
    after = server.new_tune("The next one")
    page.goto(link(server))
    page.get_by_role("link", name="A long one").click()
    # drawn before the first step
    api.expect(page.locator("#stages img")).to_have_count(3, timeout=LONG)
    step = page.locator("#bar")
    page.evaluate("window.unreloaded = true")
    api.expect(page.locator("#left")).to_contain_text("left", timeout=LONG)
    before = int(step.get_attribute("value") or 0)
    api.expect(step).not_to_have_attribute("value", str(before), timeout=LONG)
    assert page.evaluate("window.unreloaded")
    seen = int(step.get_attribute("value") or 0)
    page.reload()
    assert int(step.get_attribute("value") or 0) >= seen > before
    page.get_by_text("How the learning goes").click()
    api.expect(page.locator("#curve svg")).to_be_visible(timeout=LONG)
    page.get_by_text("Cancel the training").click()
    page.get_by_role("button", name="Yes, cancel").click()
    api.expect(page.locator(".ended")).to_contain_text("The training was cancelled")
    assert server.finished_tune(after["id"])["trained_at"]
    page.get_by_text("Delete this tune").click()
    page.get_by_role("button", name="Delete for good").click()
    api.expect(page).to_have_url(re.compile(r"/app$"))
    assert not server.files(f"tunes/{long['id']}")


def test_a_checkpoint_is_chosen_downloaded_and_trained_on(
    server: Server, page: api.Page, staged: Json
) -> None:
    page.goto(link(server))
    page.goto(page.url + f"/tunes/{staged['id']}")
    api.expect(page.locator("#stages h3")).to_have_text(["Before", "Step 10", "Step 20"])
    api.expect(page.locator("#stages .strip img")).to_have_count(9)
    figures = page.locator(".meters meter")
    api.expect(figures).to_have_count(3)  # of the LoRA, of the photos, of the pictures before
    assert all(
        0 <= float(value) <= 1
        for value in figures.evaluate_all("meters => meters.map(meter => meter.value)")
    )
    api.expect(page.locator(".chosen h3")).to_have_text("Step 20")
    page.get_by_role("button", name="Use this stage, of step 10").click()
    api.expect(page.locator(".chosen h3")).to_have_text("Step 10")
    with page.expect_download() as got:
        page.get_by_role("link", name="Download the stage of step 10").click()
    # a safetensors file: a length, then a header in JSON
    with Path(got.value.path()).open("rb") as file:
        told = json.loads(file.read(int.from_bytes(file.read(8), "little")))["__metadata__"]
    assert (got.value.suggested_filename, told["ss_steps"]) == (
        "Robin by stages-10.safetensors",
        "10",
    )
    listed = server.http.get(f"/tunes/{staged['id']}/checkpoints").json()
    assert [(row["step"], row["chosen"]) for row in listed] == [(0, False), (10, True), (20, False)]
    assert httpx.get(listed[1]["samples"][0]["url"]).headers["content-type"] == "image/jpeg"
    page.get_by_text("Train more", exact=True).first.click()
    page.get_by_label("Title").fill("Robin goes on")
    page.get_by_label("Further steps").fill("10")
    page.get_by_role("button", name="Train more").click()
    api.expect(page.get_by_role("heading", name="Robin goes on")).to_be_visible()
    number = int(page.url.rpartition("/")[2])
    made = server.finished_tune(number)
    assert (made["continues"], made["steps"]) == (staged["id"], 10)
    api.expect(page.locator(".state").first).to_contain_text("Trained", timeout=LONG)
    api.expect(page.locator("#stages h3").first).to_have_text("Where it went on")
    server.http.post(f"/tunes/{staged['id']}/checkpoints/20/choose").raise_for_status()
    server.http.delete(f"/tunes/{number}")


def test_nobody_else_sees_or_chooses_checkpoints(
    server: Server, stranger: httpx.Client, owner: httpx.Client, staged: Json
) -> None:
    place = f"/app/tunes/{staged['id']}"
    sample = re.findall(rf"{place}/samples/\d+", owner.get(place).text)[0]
    for path in (f"{place}/checkpoints", f"{place}/report", sample, f"{sample}?whole=1"):
        assert owner.get(path).status_code == 200, path
        assert stranger.get(path).status_code == 404, path
    for path in (f"{place}/checkpoints/10/choose", f"{place}/more"):
        assert stranger.post(path).status_code == 404, path
    shown, asked = owner.get(f"{place}/report"), f"/tunes/{staged['id']}/report"
    policies = shown.headers.get_list("content-security-policy")
    assert "How to use it" in shown.text and policies == [reports.ALONE]
    assert server.http.get(asked).text == shown.text
    assert stranger.get(asked).status_code == 401
    refused = owner.post(f"{place}/more", data={"title": "x", "steps": "0"})
    assert refused.status_code == 422 and "steps" in refused.text.lower()


def test_what_the_photos_were_said_to_show_is_seen_and_changed(
    server: Server, staged: Json, owner: httpx.Client, stranger: httpx.Client, page: api.Page
) -> None:
    place = f"/app/tunes/{staged['id']}"
    origin = link(server).partition("/app")[0]
    page.goto(link(server))
    page.goto(origin + place)
    page.get_by_text("What is on them, in words").click()
    said = page.locator(".captions li").all_inner_texts()
    assert len(said) == 5 and all(text.startswith("ohwx man") for text in said), said
    assert any("wearing" in text for text in said)
    page.get_by_role("button", name="Train anew with other words or photos").click()
    page.wait_for_url("**/app/tunes/new?like=*")
    api.expect(page.get_by_label("Title")).to_have_value("Robin by stages")
    boxes = page.get_by_label("Caption of photo")
    api.expect(boxes).to_have_count(5)
    assert [box.input_value().replace("[trigger]", "ohwx man") for box in boxes.all()] == said
    boxes.first.fill("[trigger] in a coat of his father's")
    boxes.first.blur()
    api.expect(page.locator("#said")).to_contain_text("Caption of photo 1 kept")
    page.reload()
    api.expect(boxes.first).to_have_value("[trigger] in a coat of his father's")
    assert stranger.post(f"{place}/draft").status_code == 404
