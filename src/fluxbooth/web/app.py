"""The application: one process that answers from rows and files, and never waits for the device."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncGenerator

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse

from fluxbooth.errors import InputError
from fluxbooth.service import reasons
from fluxbooth.service.claude import api as claude_api
from fluxbooth.service.contract import queries
from fluxbooth.service.contract.response_models import Error
from fluxbooth.service.db import database
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.settings import Settings
from fluxbooth.version import __version__
from fluxbooth.web.api import (
    account,
    checkpoints,
    estimates,
    files,
    inspect,
    openapi,
    packs,
    prompts,
    themes,
)
from fluxbooth.web.api import tunes as api_tunes
from fluxbooth.web.http import errors
from fluxbooth.web.http.compression import CompressedPages
from fluxbooth.web.http.head import HeadOfPages
from fluxbooth.web.http.middleware import Observed, in_the_app
from fluxbooth.web.http.paths import PlainPaths
from fluxbooth.web.pages import tunes
from fluxbooth.web.pages.render import refused
from fluxbooth.web.state import Engine, services

# in the order of the document
API = (api_tunes, prompts, account, checkpoints, estimates, files, inspect, packs, themes)


def create_app(
    settings: Settings, stopping: threading.Event | None = None, engine: Engine | None = None
) -> FastAPI:
    """`stopping` ends answers that would go on for ever; `engine` tells the state of the
    engine, where this server has one."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        app.state.services = services(settings, stopping or threading.Event(), engine)
        if settings.anthropic_api_key:
            threading.Thread(target=claude_api.warm, args=(settings,), daemon=True).start()
        yield
        app.state.services.pulls.close()
        app.state.services.jobs.close()
        app.state.services.db.close()

    app = FastAPI(
        title="Fluxbooth" + (" (answered by nano)" if settings.stand_in else ""),
        version=__version__,
        lifespan=lifespan,
        description=(
            "Fine-tune FLUX on photos of a subject, and make pictures of it. Compatible with the "
            "Astria API for Flux."
        ),
        # FastAPI's own refusals are told as all others are
        responses={422: {"model": Error}},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for part in API:
        app.include_router(part.router)
    tunes.install(app)
    openapi.install(app)
    _handle_errors(app)
    app.add_middleware(CompressedPages)
    app.add_middleware(HeadOfPages)
    app.add_middleware(Observed)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["X-Request-Id"],
        max_age=86400,
    )
    app.add_middleware(PlainPaths)
    return app


def _handle_errors(app: FastAPI) -> None:
    app.add_exception_handler(ServiceError, _refused)
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(RequestValidationError, _unread)
    for fault in database.BUSY:
        app.add_exception_handler(fault, _faulty)
    app.add_exception_handler(OSError, _faulty)
    app.add_exception_handler(404, _not_found)
    app.add_exception_handler(405, _not_found)


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, ServiceError):
        known = error
    else:  # one that the command line would say, too: it may name files of ours
        data = str(request.app.state.services.settings.data)
        known = ServiceError(reasons.pathless(str(error), data), getattr(error, "status", 422))
    return (
        refused(request, known)
        if in_the_app(request.url.path)
        else JSONResponse(known.body(), known.status, known.headers)
    )


def _unread(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _refused(request, queries.refused(error.errors()))


def _not_found(request: Request, error: Exception) -> Response:
    # by the address bar of a browser: programs do not name HTML among what they take
    typed = request.method == "GET" and "text/html" in request.headers.get("accept", "")
    return refused(request, NotFound()) if typed else _refused(request, NotFound())


def _faulty(request: Request, error: Exception) -> Response:
    return _refused(request, errors.known(error))
