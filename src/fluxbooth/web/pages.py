"""The web app, and its pages of tunes. What they do, the services do; the API calls the very same functions."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Form, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from fluxbooth.service import accounts, prompts, tunes
from fluxbooth.service.errors import NotFound
from fluxbooth.web import account as account_pages
from fluxbooth.web import api, drawing, making, operating, packing, sessions, theming, thumbnails, views
from fluxbooth.web.render import FOLDER, local, page, redirect
from fluxbooth.web.requests import Using, number
from fluxbooth.web.sessions import Viewer, same_origin
from fluxbooth.web.texts import text

A_PAGE = 30
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


def install(app: FastAPI) -> None:
    """Puts the web app under /app; the rest belongs to the API."""
    others = drawing, theming, packing, account_pages, operating, sessions
    for part in (making.router, router, *(module.router for module in others)):  # making first: "new" is no tune
        app.include_router(part)
    app.mount("/app/static", StaticFiles(directory=FOLDER / "static"), name="static")
    app.add_api_route("/", lambda: RedirectResponse("/app"), include_in_schema=False, name="root")


@router.get("")
def tune_list(request: Request, services: Using, account: Viewer) -> Response:
    with services.db.read() as session:
        before = number(request, "before_id")
        rows = tunes.listed(session, account, limit=A_PAGE, offset=0, before=before, title=None, names=[], model_type=None, branch=None)
        shown, operator = [views.tune(row) for row in rows], accounts.is_operator(session, account)
    older = shown[-1]["id"] if len(shown) == A_PAGE else None
    return page(request, "tunes.html", title=text("tunes.title"), tunes=shown, older=older, operator=operator)


@router.get("/tunes/{tune_id}")
def tune_page(tune_id: str, request: Request, services: Using, account: Viewer) -> Response:
    with services.db.read() as session:
        row = tunes.get(session, account, api.row_id(tune_id))
        made = prompts.listed(session, account, limit=12, offset=0, before=None, tune_id=row.id, text=None, liked=None)
        shown, pictures = views.tune(row), [views.prompt(prompt) for prompt in made]
        download = local(services.sign(row.lora), request) if row.lora and services.settings.lora_download else None
    return page(request, "tune.html", title=row.title, tune=shown, prompts=pictures, download=download, address=services.settings.url)


@router.get("/tunes/{tune_id}/progress")
async def progress(tune_id: str, request: Request, services: Using, account: Viewer) -> object:
    return await api.progress(tune_id, request, services, account)


@router.get("/tunes/{tune_id}/photos/{photo_id}")
async def photo(tune_id: str, photo_id: str, services: Using, account: Viewer) -> FileResponse:
    def key() -> str:
        with services.db.read() as session:
            row = tunes.get(session, account, api.row_id(tune_id))
            found = [photo.key for photo in row.photos if photo.id == api.row_id(photo_id) and photo.key]
        if not found:
            raise NotFound
        return found[0]

    return await thumbnails.of_upload(services.store, await asyncio.to_thread(key))


@router.post("/tunes/{tune_id}/cancel")
def cancel(tune_id: str, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        tunes.cancel(session, services.jobs, account, api.row_id(tune_id))
    return redirect(f"/app/tunes/{tune_id}")


@router.post("/tunes/{tune_id}/delete")
def delete(tune_id: str, services: Using, account: Viewer, pictures: Annotated[str, Form()] = "") -> Response:
    with services.db.write() as session:
        keys = tunes.delete(session, services.jobs, account, api.row_id(tune_id), with_prompts=bool(pictures))
    for key in keys:
        services.store.remove(key)
    return redirect("/app")
