"""Every page, on a phone and on a desk: it does not move under one's hands, nothing sticks out, it
speaks in words that a layman knows, and axe-core finds nothing."""

from __future__ import annotations

import html.parser
import re
from collections.abc import Iterator

import httpx
import pytest

from fluxbooth.service.db.tables import Prompt, Tune, now
from tests.support.chromium import api, faults, in_every_run, window
from tests.support.server import Json, Server
from tests.support.visitors import browser, link

# what only an expert knows; it may stand where one has to unfold it, and on the operator's pages
JARGON = re.compile(
    r"\b(loras?|checkpoints?|loss|losses|seeds?|rank|bfloat16|callbacks?|learning rate|"
    r"times the rate|twice the rate|denoising\w*|FLUXBOOTH_\w+|num_images|base_tune_id)\b",
    re.IGNORECASE,
)
PAGES = (
    "/app",
    "/app/tunes/new",
    "/app/create?tune={tune}",
    "/app/gallery",
    "/app/pictures/{picture}",
    "/app/tunes/{tune}",
    "/app/themes?tune={tune}",
    "/app/packs",
    "/app/packs/corporate",
    "/app/packs/new",
    "/app/queue",
    "/app/account",
    "/app/prices",
    "/app/guide",
    "/app/nowhere",
)
WAITING = ("/app/queue", "/app/tunes/{training}", "/app/tunes/{failed}", "/app/create", "/app")
OPERATORS = ("/app/server", "/app/people", "/app/models")
SIZES = ((390, 844), (1280, 900))
MOST_SHIFT, HEAD = 0.05, 0.1  # a layout shift score; a share of a phone's screen
SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""
SHIFTED = "window.shifts.reduce((sum, value) => sum + value, 0)"


class Words(html.parser.HTMLParser):
    """What a page shows before anything is unfolded, and what it says to who cannot see it."""

    VOID = ("area", "br", "col", "hr", "img", "input", "link", "meta", "source")

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self.folded: list[str] = []  # the open tags below the outermost that is left out

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self.folded:
            self.folded += [] if tag in self.VOID else [tag]
        elif tag in ("details", "script", "style", "template", "textarea"):
            self.folded.append(tag)
        else:
            said = (given.get(name) for name in ("alt", "aria-label", "placeholder", "title"))
            self.said += [text for text in said if text]

    def handle_endtag(self, tag: str) -> None:
        if self.folded and tag == self.folded[-1]:
            self.folded.pop()

    def handle_data(self, data: str) -> None:
        if not self.folded or self.folded == ["details", "summary"]:
            self.said.append(data)


def jargon(text: str) -> list[str]:
    words = Words()
    words.feed(text)
    return [line.strip() for line in words.said if JARGON.search(line)]


@pytest.fixture(scope="module")
def places(server: Server, drawn: Json) -> dict[str, str]:
    prompt = server.prompt(drawn["prompts"][0]["id"])
    name = prompt["images"][0].rpartition("/")[2].partition(".")[0]
    return {"tune": str(drawn["id"]), "picture": name}


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server that does nothing: a training at its third step that was interrupted, one that
    failed, a prompt that waits and one that failed."""
    with Server(tmp_path_factory.mktemp("waiting") / "data", flags=["--no-worker"]) as server:
        training, failed = (server.new_tune(title)["id"] for title in ("Robin", "Bo"))
        prompts = [
            server.http.post("/prompts", json={"prompt": {"text": f"a lighthouse {i}"}}).json()
            for i in range(2)
        ]
        with server.database.write() as session:
            row = session.get_one(Tune, training)
            row.started_training_at = now()
            row.progress = {"step": 3, "steps": 30, "seconds_left": 50.0, "resumed_at": 2}
            row = session.get_one(Tune, failed)
            row.failed_at, row.user_error = now(), "Cannot read the LoRA of tune 7: train it again."
            drawn = session.get_one(Prompt, prompts[1]["id"])
            drawn.trained_at, drawn.user_error = now(), "Ask for another text or seed."
        yield server, {"training": str(training), "failed": str(failed)}


def test_a_layman_reads_no_jargon(
    server: Server,
    owner: httpx.Client,
    places: dict[str, str],
    waiting: tuple[Server, dict[str, str]],
) -> None:
    found: dict[str, list[str]] = {}
    quiet, there = waiting
    visitor = browser(quiet)
    visitor.get(link(quiet))
    pages = [(owner, path.format(**places)) for path in PAGES]
    pages += [(visitor, path.format(**there)) for path in WAITING]
    pages += [(browser(server), "/app/login")]
    for client, path in pages:
        if said := jargon(client.get(path, headers={"Accept": "text/html"}).text):
            found[path] = said
    # what a script gets to show
    refused = owner.post(
        "/app/prompts",
        data={"text": "a lake", "seed": "-7", "count": "99"},
        headers={"Fluxbooth-Part": "1"},
    )
    assert refused.status_code == 422
    if said := [line for line in refused.json()["errors"] if JARGON.search(line)]:
        found["errors"] = said
    advice = owner.post("/app/advice", data={"text": "<lora:x:1>" * 7}).json()["advice"]
    if said := [one["message"] for one in advice if JARGON.search(one["message"])]:
        found["advice"] = said
    assert not found


def test_the_reader_of_pages_looks_past_what_is_folded() -> None:
    page = """<p>A loss</p><details><summary>Words</summary><p>a seed <img alt="rank"></p></details>
        <img alt="of a LoRA"><details><summary>The seed</summary></details><p>Fine</p>"""
    assert jargon(page) == ["A loss", "of a LoRA", "The seed"]


def looked_at(page: api.Page, address: str) -> list[str]:
    """What is wrong with a page at both sizes, and to axe-core at the narrower."""
    wrong: list[str] = []
    for width, height in SIZES:
        page.set_viewport_size({"width": width, "height": height})
        page.goto(address)
        page.wait_for_load_state("networkidle")
        shift = page.evaluate(SHIFTED)
        if shift >= MOST_SHIFT:
            wrong.append(f"{address} at {width} shifts by {shift:.3f}")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append(f"{address} is wider than {width}")
        top = page.locator("main").bounding_box()
        if width == SIZES[0][0] and top and top["y"] > HEAD * height:
            wrong.append(f"{address}: {top['y']:.0f} pixels of {height} are above the page")
        if width == SIZES[0][0]:
            wrong += [f"{address}: {fault}" for fault in faults(page)]
    return wrong


@in_every_run[0]
def test_no_page_moves_or_sticks_out_and_axe_finds_nothing(
    server: Server, places: dict[str, str], waiting: tuple[Server, dict[str, str]]
) -> None:
    quiet, there = waiting
    with window(expected=("404",)) as page:
        page.add_init_script(SHIFTS)
        # a look at the machine is another page, and takes long
        page.route(re.compile("look=1"), lambda route: route.fulfill(status=204))
        wrong = looked_at(page, f"http://127.0.0.1:{server.port}/app/login")
        page.goto(link(server))
        for path in (*PAGES, *OPERATORS):
            address = f"http://127.0.0.1:{server.port}{path.format(**places)}"
            wrong += looked_at(page, address)
        page.goto(link(quiet))
        for path in WAITING:
            wrong += looked_at(page, f"http://127.0.0.1:{quiet.port}{path.format(**there)}")
    assert not wrong, "\n".join(wrong)


def test_a_server_that_stops_ends_live_pages_in_order(
    waiting: tuple[Server, dict[str, str]],
) -> None:
    """Last in this file: it takes its server away."""
    quiet, there = waiting
    visitor = browser(quiet)
    visitor.get(link(quiet))
    address = f"/app/tunes/{there['training']}/progress"
    accepted = {"Accept": "text/event-stream", "Fluxbooth-Part": "1"}
    with visitor.stream("GET", address, headers=accepted) as live:
        lines = live.iter_lines()
        assert '"step": 3' in next(lines)
        quiet.stop()
        list(lines)  # whole: httpx raises for an answer that is cut off
    assert "Traceback" not in quiet.log.read_text()
