"""The web app, and its pages of tunes.

What they do, the services do; the API calls the very same functions.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.orm import Session

from fluxbooth import types
from fluxbooth.service.accounts import accounts
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import MoreForm
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.estimates import plan
from fluxbooth.service.files import reserve
from fluxbooth.service.prompts import prompts
from fluxbooth.service.tunes import checkpoints, train_again, train_more, tunes, uploads
from fluxbooth.web.http import params, reports, training_progress
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.limits import format_bytes
from fluxbooth.web.http.params import number
from fluxbooth.web.pages import account as pages_account
from fluxbooth.web.pages import (
    create,
    enhance,
    gallery,
    guide,
    login,
    new_tune,
    once,
    operator,
    packs,
    people,
    pictures,
    prices,
    queue,
    static_files,
    themes,
    thumbnails,
    view_models,
)
from fluxbooth.web.pages.login import PartViewer, Sent, Viewer, same_origin
from fluxbooth.web.pages.new_tune import plan_words
from fluxbooth.web.pages.render import local, page, redirect, sentences
from fluxbooth.web.pages.texts import text
from fluxbooth.web.state import Services

A_PAGE = 30
# of an account: a browser has six connections to a host, and everything else waits while streams
# hold them
MOST_STREAMS = 3
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])
PARTS = (
    new_tune.router,  # before this one: "new" is no tune
    create.router,  # before the gallery: "plan" is no prompt
    router,
    gallery.router,
    pictures.router,
    enhance.router,
    queue.router,
    themes.router,
    packs.router,
    pages_account.router,
    operator.router,
    people.router,
    prices.router,
    guide.router,
    login.router,
)


def install(app: FastAPI) -> None:
    """Puts the web app under /app; the rest belongs to the API."""
    for part in PARTS:
        app.include_router(part)
    app.mount(static_files.ADDRESS, static_files.Kept(), name="kept")
    app.mount(static_files.PLAIN, StaticFiles(directory=static_files.FOLDER), name="static")
    app.add_api_route("/", lambda: RedirectResponse("/app"), include_in_schema=False, name="root")


@router.get("")
def tune_list(request: Request, services: Using, account: Viewer) -> Response:
    with services.db.read() as session:
        before = number(request, "before_id")
        rows = tunes.listed(
            session,
            account,
            limit=A_PAGE,
            offset=0,
            before=before,
            title=None,
            names=[],
            model_type=None,
            branch=None,
        )
        shown = [view_models.tune(row) for row in rows]
        operator = accounts.is_operator(session, account)
    older = shown[-1]["id"] if len(shown) == A_PAGE else None
    return page(
        request,
        "tunes.html",
        title=text("tunes.title"),
        tunes=shown,
        older=older,
        operator=operator,
    )


@router.get("/tunes/{tune_id}")
def tune_page(tune_id: str, request: Request, services: Using, account: Viewer) -> Response:
    return _tune_page(tune_id, request, services, account, [])


def _tune_page(
    tune_id: str,
    request: Request,
    services: Services,
    account: Account,
    errors: list[str],
    status: int = 200,
) -> Response:
    with services.db.read() as session:
        row = tunes.get(session, account, params.row_id(tune_id))
        made = prompts.listed(
            session, account, limit=12, offset=0, before=None, tune_id=row.id, text=None, liked=None
        )
        stages = [
            _stage(stage, request, services)
            for stage in view_models.checkpoints(row, checkpoints.of(session, row))
        ]
        shown, pictures = view_models.tune(row), [view_models.prompt(prompt) for prompt in made]
        download = (
            local(services.sign(row.lora), request)
            if row.lora and services.settings.lora_download
            else None
        )
        goes_on = bool(row.trained_at and row.lora and row.photos and not row.imported)
        asked = {"branch": row.branch, "preset": row.preset, "steps": row.steps}
        photos = len(row.photos) if row.failed_at else 0
        size = format_bytes(services.store.size_of(row.folder))
        captions = uploads.captions_of(row, services.store) if row.model_type == "lora" else []
    return page(
        request,
        "tune.html",
        status,
        title=row.title,
        tune=shown,
        prompts=pictures,
        stages=stages,
        report=view_models.likeness(stages, row),
        download=download,
        size=size,
        captions=captions,
        goes_on=goes_on,
        plan=plan_words(plan(services.db, services.settings, asked, photos)),
        errors=errors,
        once=once.mark(),
        address=services.settings.url,
        days=services.settings.expiry_days,
    )


def _stage(stage: types.Json, request: Request, services: Services) -> types.Json:
    """With the address of its LoRA, where LoRAs are handed out."""
    may = stage["lora"] and services.settings.lora_download
    return stage | {"download": local(services.sign(stage["lora"]), request) if may else None}


@router.get("/tunes/{tune_id}/checkpoints")
def stages(tune_id: str, request: Request, services: Using, account: PartViewer) -> Response:
    """The samples as far as they are drawn, for the page of a training."""
    with services.db.read() as session:
        row = tunes.get(session, account, params.row_id(tune_id))
        shown = [
            _stage(stage, request, services)
            for stage in view_models.checkpoints(row, checkpoints.of(session, row))
        ]
        return page(request, "stages.html", tune=view_models.tune(row), stages=shown)


@router.get("/tunes/{tune_id}/samples/{sample_id}")
def sample(
    tune_id: str, sample_id: str, services: Using, account: PartViewer, whole: str = ""
) -> FileResponse:
    with services.db.read() as session:
        rows = checkpoints.listed(session, account, params.row_id(tune_id))
        key = next(
            (one.key for row in rows for one in row.samples if one.id == params.row_id(sample_id)),
            None,
        )
    if key is None:
        raise NotFound
    return (
        thumbnails.whole(services.store, key)
        if whole
        else thumbnails.of_picture(services.store, key)
    )


@router.get("/tunes/{tune_id}/report")
def report(tune_id: str, services: Using, account: Viewer) -> FileResponse:
    with services.db.read() as session:
        key = checkpoints.report(session, account, params.row_id(tune_id))
    return reports.answer(services.store, key)


@router.post("/tunes/{tune_id}/checkpoints/{step}/choose")
def choose(tune_id: str, step: str, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        checkpoints.promote(session, account, params.row_id(tune_id), params.row_id(step))
    return redirect(f"/app/tunes/{tune_id}#stages")


@router.post("/tunes/{tune_id}/more")
def more(tune_id: str, request: Request, services: Using, account: Viewer, sent: Sent) -> Response:
    try:
        form = MoreForm.read({name: sent.get(name, "") for name in ("title", "steps")})
        number = params.row_id(tune_id)

        def work(session: Session, owner: Account) -> types.Json:
            return {"id": train_more.more(Context.of(services, session, owner), number, form).id}

        made = once.made_once(services, account, request.url.path, sent, work)
        return redirect(f"/app/tunes/{made['id']}")
    except ServiceError as error:
        if error.status == 404:
            raise
        return _tune_page(tune_id, request, services, account, sentences(error), error.status)


@router.get("/tunes/{tune_id}/progress")
async def progress(tune_id: str, request: Request, services: Using, account: PartViewer) -> object:
    """As the API's; but one stream too many gets 204, which tells a page to ask again and again
    instead."""
    answer = await training_progress.answer(tune_id, request, services, account)
    if not isinstance(answer, StreamingResponse):
        return answer
    if services.streams[account.id] >= MOST_STREAMS:
        return Response(status_code=204)
    answer.body_iterator = _counted(answer.body_iterator, services.streams, account.id)
    return answer


async def _counted(
    events: AsyncIterable[Any], streams: Counter[int], account_id: int
) -> AsyncIterator[Any]:
    streams[account_id] += 1
    try:
        async for event in events:
            yield event
    finally:
        streams[account_id] -= 1


@router.get("/tunes/{tune_id}/photos/{photo_id}")
async def photo(tune_id: str, photo_id: str, services: Using, account: PartViewer) -> FileResponse:
    def key() -> str:
        with services.db.read() as session:
            row = tunes.get(session, account, params.row_id(tune_id))
            found = [
                photo.key
                for photo in row.photos
                if photo.id == params.row_id(photo_id) and photo.key
            ]
        if not found:
            raise NotFound
        return found[0]

    return await thumbnails.of_upload(
        services.store, await asyncio.to_thread(key), services.decoding.turn(account.id)
    )


@router.post("/tunes/{tune_id}/again")
def again(tune_id: str, request: Request, services: Using, account: Viewer, sent: Sent) -> Response:
    def work(session: Session, owner: Account) -> types.Json:
        number = params.row_id(tune_id)
        return {"id": train_again.again(Context.of(services, session, owner), number).id}

    try:
        made = once.made_once(services, account, request.url.path, sent, work)
        return redirect(f"/app/tunes/{made['id']}")
    except ServiceError as error:
        if error.status == 404:
            raise
        return _tune_page(tune_id, request, services, account, sentences(error), error.status)


@router.post("/tunes/{tune_id}/cancel")
def cancel(tune_id: str, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        tunes.cancel(session, services.jobs, account, params.row_id(tune_id))
    return redirect(f"/app/tunes/{tune_id}")


@router.post("/tunes/{tune_id}/delete")
def delete(tune_id: str, services: Using, account: Viewer, sent: Sent) -> Response:
    wanted, pictures = params.row_id(tune_id), bool(sent.get("pictures"))
    reserve.delete(
        services.db,
        services.store,
        lambda session: tunes.delete(
            session, services.jobs, account, wanted, with_prompts=pictures
        ),
    )
    return redirect("/app")
