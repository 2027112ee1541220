"""The application: one process that answers from rows and files, and never waits for the device."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.types import ASGIApp, Receive, Scope, Send

import fluxbooth
from fluxbooth.errors import InputError
from fluxbooth.service import accounts, claude, db, reasons
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.jobs import JobEngine
from fluxbooth.service.links import Signer
from fluxbooth.service.pulling import Pulls
from fluxbooth.service.settings import Settings
from fluxbooth.service.store import Store
from fluxbooth.web import faults
from fluxbooth.web.observe import Observed, in_the_app
from fluxbooth.web.pace import Pace
from fluxbooth.web.render import refused
from fluxbooth.web.turns import Turns

LONGEST_PATH = 2000
Engine = Callable[[], Literal["runs", "silent", "stopped"]]
PATIENCE = 5.0  # seconds that a request waits for the right to write


@dataclass(frozen=True)
class Services:
    """What requests work with."""

    settings: Settings
    db: db.Database
    store: Store
    jobs: JobEngine
    sign: Signer
    secret: bytes
    pace: Pace
    pulls: Pulls
    readers: anyio.CapacityLimiter  # threads that answer polls
    stopping: threading.Event  # set once no more may be answered
    engine: Engine | None
    parsing: Turns = field(default_factory=lambda: Turns(places=1, each=1))  # of long texts
    decoding: Turns = field(default_factory=lambda: Turns(places=3, each=2, saved=300.0))  # of strangers' pictures


def services(settings: Settings, stopping: threading.Event, engine: Engine | None) -> Services:
    secret = accounts.pepper(settings.data)
    sign = Signer(secret, settings.url)
    base = db.Database(settings.database_url, patience=PATIENCE)
    # SQLite answers at once, so threads would only take Python's lock from one another: with eight clients and two cores one thread
    # gives a third more answers than forty
    readers = anyio.CapacityLimiter(1 if base.engine.dialect.name == "sqlite" else 8)
    jobs = JobEngine(settings, sign)
    return Services(settings, base, Store(settings.data), jobs, sign, secret, Pace(), Pulls(), readers, stopping, engine)


class PlainPaths:
    """`/tunes/7.json` and `/tunes/7/` are `/tunes/7`: answered directly, for clients lose their key on a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in ("/", "/openapi.json") and not scope["path"].startswith("/files/"):
            path = scope["path"].rstrip("/").removesuffix(".json") or "/"
            scope = {**scope, "path": path[:LONGEST_PATH], "raw_path": path[:LONGEST_PATH].encode()}
        await self.app(scope, receive, send)


def create_app(settings: Settings, stopping: threading.Event | None = None, engine: Engine | None = None) -> FastAPI:
    """`stopping` ends answers that would go on for ever; `engine` tells the state of the engine, where this server has one."""
    from fluxbooth.web import api, catalogue, checkpoints, document, estimates, images, inspect, packs, pages, themes

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.services = services(settings, stopping or threading.Event(), engine)
        if settings.anthropic_api_key:
            threading.Thread(target=claude.warm, args=(settings,), daemon=True).start()
        yield
        app.state.services.pulls.close()
        app.state.services.jobs.close()

    app = FastAPI(
        title="Fluxbooth" + (" (answered by nano)" if settings.base == "nano" else ""), version=fluxbooth.__version__, lifespan=lifespan,
        description="Fine-tune FLUX on photos of a subject, and make pictures of it. Compatible with the Astria API for Flux.",
        docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.include_router(api.router)
    app.include_router(catalogue.router)
    app.include_router(checkpoints.router)
    app.include_router(estimates.router)
    app.include_router(images.router)
    app.include_router(inspect.router)
    app.include_router(packs.router)
    app.include_router(themes.router)
    pages.install(app)
    document.install(app)
    app.add_exception_handler(ServiceError, _refused)
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(OperationalError, _faulty)
    app.add_exception_handler(OSError, _faulty)
    app.add_exception_handler(404, _not_found)
    app.add_exception_handler(405, _not_found)
    app.add_middleware(Observed)
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"], expose_headers=["X-Request-Id"], max_age=86400
    )
    app.add_middleware(PlainPaths)
    return app


def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, ServiceError):
        known = error
    else:  # one that the command line would say, too: it may name files of ours
        data = str(request.app.state.services.settings.data)
        known = ServiceError(reasons.pathless(str(error), data), getattr(error, "status", 422))
    return refused(request, known) if in_the_app(request.url.path) else JSONResponse(known.body(), known.status, known.headers)


def _not_found(request: Request, error: Exception) -> Response:
    return _refused(request, NotFound())


def _faulty(request: Request, error: Exception) -> Response:
    return _refused(request, faults.known(error))
