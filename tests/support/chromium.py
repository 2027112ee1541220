"""A real browser for tests: Chromium without a window, pictures of pages, and axe-core's eye on
them."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageFilter

from fluxbooth.evaluation.demo import PHOTOS
from tests.support import browser

api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = browser.find()
SCREENS = Path(__file__).parents[2] / "docs" / "screens"
WIDTHS = (1280, 390)
PHONE = {"width": 390, "height": 844}
TALLEST = 1800  # pixels
AXE = "axe-core@4.14.1"
in_every_run = [pytest.mark.skipif(CHROMIUM is None, reason=browser.MISSING)]
needed = [pytest.mark.slow, *in_every_run]


@contextmanager
def window(*, expected: tuple[str, ...] = (), phone: bool = False) -> Iterator[api.Page]:
    """A page on which no script may fail and nothing of another host may be asked for;
    `expected` are statuses that the story provokes. A `phone` is touched."""
    wrong: list[str] = []
    with api.sync_playwright() as playwright:
        shown = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = shown.new_context(
            viewport=PHONE if phone else {"width": 1280, "height": 900},
            has_touch=phone,
            is_mobile=phone,
            reduced_motion="reduce",
        ).new_page()
        page.set_default_timeout(120_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: (
                wrong.append(said.text)
                if said.type == "error" and not any(x in said.text for x in expected)
                else None
            ),
        )
        page.on(
            "request",
            lambda asked: (
                wrong.append(asked.url)
                if not asked.url.startswith(("http://127.0.0.1", "blob:"))
                else None
            ),
        )
        yield page
        shown.close()
    assert not wrong, wrong


def photos(folder: Path) -> list[Path]:
    """Seven of the demo's photos, of which one is made blurred, and the first one again."""
    paths = [Path(shutil.copy(path, folder)) for path in sorted(PHOTOS.glob("*.png"))[:7]]
    blurred = folder / "blurred.png"
    Image.open(paths.pop()).convert("RGB").filter(ImageFilter.GaussianBlur(9)).save(blurred)
    return [*paths, blurred, Path(shutil.copy(paths[0], folder / "again.png"))]


def shoot(page: api.Page, name: str, *, whole: bool = True, moving: bool = False) -> list[str]:
    """Takes pictures of a page at both widths; what is wrong with it: it reaches past the edge,
    or axe-core has something to say."""
    wrong: list[str] = []
    SCREENS.mkdir(exist_ok=True)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if not moving:
            page.wait_for_load_state("networkidle")
        if page.evaluate("document.documentElement.scrollWidth") > width:
            wrong.append(f"{name} is wider than {width}")
        if whole:  # as tall as the page is, so that what sticks to the edge covers nothing
            page.set_viewport_size(
                {
                    "width": width,
                    "height": min(TALLEST, page.evaluate("document.documentElement.scrollHeight")),
                }
            )
            page.evaluate("scrollTo(0, 0)")
        target = SCREENS / f"{name}-{width}.png"
        page.screenshot(path=target)
        Image.open(target).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(
            target, optimize=True
        )
        wrong += [f"{name}, {width}: {fault}" for fault in faults(page)]
    page.set_viewport_size({"width": 1280, "height": 900})
    return wrong


def faults(page: api.Page) -> list[str]:
    """Holds the page to axe-core's rules (WCAG 2.2 A and AA and its best practices), light and
    dark."""
    script = axe()
    if script is None:
        return []
    wrong: list[str] = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(script)
        found = page.evaluate(
            "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.target.join(' ') + ': ' + n.failureSummary)]))"
        )
        wrong += [f"{scheme}: {fault}" for fault in found]
    page.emulate_media(color_scheme="light")
    return wrong


@functools.cache
def axe() -> str | None:
    """The source of axe-core, fetched with npm for the tests alone; None where there is no npm
    or no network."""
    npm = shutil.which("npm")
    if npm is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "install", "--silent", "--prefix", folder, AXE], capture_output=True, check=False
        )
        source = Path(folder) / "node_modules" / "axe-core" / "axe.min.js"
        return source.read_text() if done.returncode == 0 else None
