"""Pages out of templates: every text escaped, every address of this host, and the headers that
hold a browser to both."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path
from typing import Any, cast

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from fluxbooth.service.errors import Invalid, ServiceError
from fluxbooth.service.settings import Settings
from fluxbooth.types import Json, is_list
from fluxbooth.version import __version__
from fluxbooth.web.pages import static_files
from fluxbooth.web.pages.texts import IN_THE_BROWSER, plain, text

FOLDER = Path(__file__).parents[1]
LOCAL = ("127.0.0.1", "localhost", "::1")

environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
)
environment.trim_blocks = environment.lstrip_blocks = True
cast(Any, environment).globals.update(  # whose type jinja2 leaves open
    t=text,
    version=__version__,
    browser_texts=json.dumps(IN_THE_BROWSER),
    static=static_files.ADDRESS,
)


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page; with the header `Fluxbooth-Part`, only what a script puts into a page that
    is there already."""
    settings: Settings = request.app.state.services.settings
    shown: Json = {
        "account": getattr(request.state, "account", None),
        "waiting": getattr(request.state, "waiting", 0),
        "nano": settings.stand_in,
        "here": request.url.path,
        "plain_http": request.url.scheme == "http" and request.url.hostname not in LOCAL,
        "errors": [],
        **values,
    }
    return HTMLResponse(
        environment.get_template(template).render(shown), status, {"Cache-Control": "no-store"}
    )


def wants_part(request: Request) -> bool:
    return "fluxbooth-part" in request.headers


def redirect(path: str) -> RedirectResponse:
    """To a page of the app, after a form; what was sent is not sent again on reload."""
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def sentences(error: ServiceError) -> list[str]:
    said = error.sentences if isinstance(error, Invalid) else [str(error)]
    return [plain(sentence) for sentence in said]


def refused(request: Request, error: ServiceError) -> Response:
    """An error as a page, or as JSON to a script."""
    if error.status == 401 and not wants_part(request):
        return redirect(
            f"/app/login?{urllib.parse.urlencode({'next': _page_of(request)}, safe='/')}"
        )
    if wants_part(request):
        return JSONResponse(_plain_body(error), error.status, error.headers)
    words = text("error.not_found") if error.status == 404 else plain(str(error))
    answer = page(request, "error.html", error.status, title=text("error.title"), errors=[words])
    answer.headers.update(error.headers)
    return answer


def _plain_body(error: ServiceError) -> Json:
    """As a program gets it, but for the words."""
    return {
        name: [plain(str(one)) for one in value] if is_list(value) else plain(str(value))
        for name, value in error.body().items()
    }


def _page_of(request: Request) -> str:
    """The page that somebody wants to see, or that a form was sent from."""
    if request.method in ("GET", "HEAD"):
        asked = urllib.parse.urlsplit(str(request.url))
    else:
        asked = urllib.parse.urlsplit(request.headers.get("referer", "/app"))
    return asked.path + (f"?{asked.query}" if asked.query else "")


def local(url: str, request: Request) -> str:
    """A stored file's address without this host, whatever name the browser knows the host by."""
    return url.removeprefix(request.app.state.services.settings.url)
