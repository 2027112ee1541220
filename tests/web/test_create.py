"""The prompt box in a browser: a tune as a chip, advice under the words, a painted mask, stored
script, forged forms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluxbooth.evaluation.demo import PHOTOS
from tests.support.chromium import api, in_every_run, window
from tests.support.server import PATIENCE, Json, Server
from tests.support.visitors import link

LONG = PATIENCE * 1000  # ms
PHOTO = sorted(PHOTOS.glob("*.png"))[0]
SCRIPT = "<img src=x onerror=\"document.title='stolen'\">"
pytestmark = in_every_run


@pytest.fixture
def page() -> Iterator[api.Page]:
    with window(expected=("403", "404")) as page:
        yield page


def test_a_tune_is_a_chip_and_a_mask_is_painted(
    server: Server, drawn: Json, page: api.Page
) -> None:
    page.goto(link(server))
    page.goto(f"http://127.0.0.1:{server.port}/app/create")
    box, chips, advice = page.locator("#text"), page.locator(".chip"), page.locator("#advice li")
    box.fill("at the beach, (smiling:1.4), with no hat")
    page.get_by_text("Insert a tune").focus()
    page.keyboard.press("Enter")
    page.locator(f"#insert button[data-tune='{drawn['id']}']").press("Enter")
    api.expect(box).to_have_value("sks man at the beach, (smiling:1.4), with no hat")
    api.expect(advice).to_have_count(2, timeout=LONG)
    api.expect(page.locator("#behind .advised")).to_have_text(["(smiling:1.4)", "no hat"])
    api.expect(page.locator("#behind .called")).to_have_text("sks man")
    advice.last.get_by_role("button").click()
    assert box.evaluate("box => box.value.slice(box.selectionStart, box.selectionEnd)") == "no hat"
    page.get_by_label("Take Robin out").click()
    api.expect(chips).to_have_count(0)
    api.expect(box).to_have_value("at the beach, (smiling:1.4), with no hat")
    page.get_by_text("Insert a tune").click()
    page.locator(f"#insert button[data-tune='{drawn['id']}']").click()
    box.fill("sks man with a blue hat, at the beach")
    api.expect(advice).to_have_count(0, timeout=LONG)
    page.get_by_text("Start from a picture").click()
    page.set_input_files("#input", PHOTO)
    canvas = page.locator("#paint")
    api.expect(canvas).to_be_visible()
    canvas.scroll_into_view_if_needed()
    place = canvas.bounding_box()
    assert place
    page.mouse.move(place["x"] + 0.3 * place["width"], place["y"] + 0.2 * place["height"])
    page.mouse.down()
    page.mouse.move(place["x"] + 0.7 * place["width"], place["y"] + 0.2 * place["height"], steps=4)
    page.mouse.up()
    canvas.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press(" ")
    # takes back what the space bar painted, not what the mouse did
    page.keyboard.press("Backspace")
    earlier = page.locator(".card").count()
    with page.expect_response("**/app/prompts") as sent:
        page.get_by_role("button", name="Make pictures").click()
    assert sent.value.status == 201
    api.expect(page.locator(".card")).to_have_count(earlier + 1)
    card = page.locator(".card").first
    api.expect(card).to_have_attribute("data-state", "done", timeout=LONG)
    made = server.prompt(int(card.get_attribute("data-prompt") or 0))
    assert made["mask_image"] and made["input_image"] and made["tunes"][0]["id"] == drawn["id"]
    server.http.delete(f"/prompts/{made['id']}")


def test_stored_script_is_text_and_a_strange_site_can_neither_see_nor_send(
    server: Server, drawn: Json, page: api.Page
) -> None:
    theirs = server.http.post("/prompts", json={"text": f"a man, {SCRIPT}", "steps": 1}).json()[
        "id"
    ]
    server.finished_prompt(theirs)
    page.goto(link(server))
    page.goto(f"http://127.0.0.1:{server.port}/app/gallery")
    api.expect(page.locator(".card .words").first).to_contain_text("onerror")
    assert "stolen" not in page.title()
    page.route(
        "http://127.0.0.1:18999/",
        lambda route: route.fulfill(
            content_type="text/html",
            body=f"<form method=post action=http://127.0.0.1:{server.port}/app/prompts/{theirs}/delete><button>win</button></form>",
        ),
    )
    page.goto("http://127.0.0.1:18999/")
    with page.expect_navigation() as answered:
        page.get_by_role("button", name="win").click()
    # refused, or taken for somebody who is not signed in
    assert answered.value and answered.value.status in (303, 403)
    assert server.prompt(theirs)["images"]
    page.goto(link(server, "stranger"))
    page.get_by_role("button", name="stranger").click()  # a link for somebody else asks first
    for path in (
        f"/app/tunes/{drawn['id']}",
        f"/app/prompts/{theirs}",
        f"/app/create?from={server.prompt(theirs)['images'][0][-36:-4]}",
    ):
        reached = page.goto(f"http://127.0.0.1:{server.port}{path}")
        assert reached and reached.status == 404, path
    server.http.delete(f"/prompts/{theirs}")
