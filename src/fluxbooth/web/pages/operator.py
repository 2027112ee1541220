"""The operator's pages: the server at a glance, and the bases, with their download."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from fluxbooth.service import licensing, metering, model_downloads, overview
from fluxbooth.service.accounts import accounts
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.limits import format_bytes
from fluxbooth.web.pages.login import PartViewer, Sent, same_origin
from fluxbooth.web.pages.render import page, redirect
from fluxbooth.web.pages.texts import text

router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


def the_operator(services: Using, account: PartViewer) -> Account:
    """To others these pages are not there."""
    with services.db.read() as session:
        if not accounts.is_operator(session, account):
            raise NotFound
    return account


Operator = Annotated[Account, Depends(the_operator)]


@router.get("/server")
def server(request: Request, services: Using, account: Operator) -> Response:
    with services.db.read() as session:
        seen = overview.overview(session, services.settings)
        usage = metering.usage(session)
    return page(
        request,
        "server.html",
        title=text("server.title"),
        seen=seen,
        free=format_bytes(seen.disk_free),
        total=format_bytes(seen.disk_total),
        settings=services.settings,
        engine=services.engine_state(),
        bases=services.pulls.rows(),
        usage=usage,
        notices=licensing.notices(services.settings),
        served=licensing.uses(services.settings),
    )


@router.get("/models")
async def bases(request: Request, services: Using, account: Operator, look: str = "") -> Response:
    """The bases; with `look`, what this machine can do with each, which takes seconds."""
    found = None
    if look:
        async with services.looking:
            found = await asyncio.to_thread(model_downloads.machine)
    rows = await asyncio.to_thread(services.pulls.rows)
    fits = {row["name"]: row for row in found["models"]} if found else {}
    return page(
        request,
        "models.html",
        title=text("models.title"),
        bases=rows,
        format_bytes=format_bytes,
        found=found,
        fits=fits,
    )


@router.post("/models/{name}/pull")
def begin(name: str, services: Using, account: Operator, sent: Sent) -> Response:
    if not sent.get("agree"):
        raise ServiceError(text("models.agree", name=name))
    services.pulls.start(name)
    return redirect("/app/models")
