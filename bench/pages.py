"""How soon a page of the web app is ready in a browser, and what its first visit weighs.

Needs Chromium.
"""

from __future__ import annotations

import statistics

from playwright.sync_api import Page, sync_playwright

from fluxbooth.errors import InputError
from tests.support import browser
from tests.support.server import Server
from tests.support.visitors import link

VISITS = 7
PAGES = (
    "/app", "/app/tunes/{tune}", "/app/tunes/new", "/app/create?tune={tune}", "/app/gallery",
    "/app/packs", "/app/account", "/app/server",
)  # fmt: skip
READY = "() => performance.getEntriesByType('navigation')[0].loadEventEnd"
WEIGHT = """() => performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation'))
    .filter(one => !['img', 'css'].includes(one.initiatorType)).reduce((sum, one) => sum + one.encodedBodySize, 0)"""


def ready(server: Server, tune: int) -> dict[str, dict[str, float]]:
    """By page: milliseconds from the click to the end of loading, pictures included, the median of
    several visits in one browser and the longest; kilobytes of a first visit without pictures.
    """
    path = browser.find()
    if path is None:
        raise InputError(browser.MISSING)
    with sync_playwright() as playwright:
        shown = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        signing_in = shown.new_page()
        signing_in.goto(link(server))
        session = signing_in.context.storage_state()
        origin = f"http://127.0.0.1:{server.port}"
        found = {
            page: _timed(
                shown.new_context(storage_state=session).new_page(), origin + page.format(tune=tune)
            )
            for page in PAGES
        }
        shown.close()
    return found


def _timed(page: Page, address: str) -> dict[str, float]:
    page.goto(address)
    weight, times = page.evaluate(WEIGHT), []
    for _ in range(VISITS):
        page.goto("about:blank")
        page.goto(address)
        times.append(page.evaluate(READY))
    page.context.close()
    return {
        "ready ms": round(statistics.median(times)),
        "longest ms": round(max(times)),
        "first visit KB": round(weight / 1000, 1),
    }
