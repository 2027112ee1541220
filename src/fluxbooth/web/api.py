"""The contract's routes: tunes, prompts, likes. Each reads the request and calls the service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from fluxbooth.service import inputs, packs, prompts, room, shapes, templates, tunechecks, tunes
from fluxbooth.service.errors import Invalid, NotFound
from fluxbooth.service.schemas import PromptForm, TuneForm, TunePatch
from fluxbooth.service.tables import FIRST_TUNE, Account, now
from fluxbooth.web import looking, requests
from fluxbooth.web.app import Services
from fluxbooth.web.forms import Upload
from fluxbooth.web.limits import of_pictures
from fluxbooth.web.requests import Owner, Using, page

router = APIRouter()
Json = dict[str, Any]
MOST_TUNES_OFFSET, MOST_PROMPTS_OFFSET = 200, 10_000


def row_id(text: str) -> int:
    """An id in a path. What is no number, or larger than any id, is not found."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise NotFound
    return int(text)


def said(text: str | None) -> bool:
    """Whether a filter of the query is switched on."""
    return (text or "").lower() in ("1", "true", "t", "on")


# ── tunes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("/tunes", status_code=201, summary="Train a tune", openapi_extra=requests.body_of(TuneForm, "tune", files=True))
async def create_tune(request: Request, services: Using, account: Owner) -> Response:
    async with requests.body(request, services, "tune", requests.of_photos(services)) as (values, uploads):
        lora_file = values.pop("lora_file", None) or None
        if not isinstance(lora_file, Upload | None):
            raise Invalid({"lora_file": ["must be a file"]})
        form = TuneForm.lenient(values)

        async def look() -> None:
            await looking.photos(
                services, account, uploads, lambda s, owner: tunes.check(s, services.settings, owner, form, uploads, lora_file)
            )
            if lora_file:
                await asyncio.to_thread(tunechecks.check_lora, services.settings, form, lora_file)

        def work(session: Session, owner: Account) -> Json:
            tune = tunes.create(session, services.settings, services.store, services.jobs, owner, form, uploads, lora_file)
            shown = shapes.tune(tune, services.settings, services.sign)
            if form.prompts_attributes:
                made = prompts.listed(
                    session, owner, limit=requests.MOST, offset=0, before=None, tune_id=tune.id, text=None, liked=None
                )  # fmt: skip
                shown["prompts"] = [shapes.prompt(prompt, services.settings, services.sign) for prompt in reversed(made)]
            return shown

        return await requests.answered_once(request, services, account, values, work, look)


@router.get("/tunes", summary="List tunes, newest first")
async def list_tunes(request: Request, services: Using) -> Response:
    asked, query = page(request, MOST_TUNES_OFFSET), request.query_params
    names = [name for key in ("name", "name[]") for name in query.getlist(key) if name]

    def work(session: Session, account: Account) -> list[Json]:
        rows = tunes.listed(
            session, account, **asked, title=query.get("title"), names=names, model_type=query.get("model_type"), branch=query.get("branch")
        )
        return [shapes.tune(row, services.settings, services.sign) for row in rows]

    return await requests.looked_up(request, services, work)


@router.get("/tunes/{number}", summary="Get a tune")
async def get_tune(number: str, request: Request, services: Using) -> Response:
    wanted = row_id(number)

    def work(session: Session, account: Account) -> Json:
        if wanted in services.settings.base_tunes:
            return shapes.public_tune(wanted, services.settings)
        return shapes.tune(tunes.get(session, account, wanted), services.settings, services.sign)

    return await requests.looked_up(request, services, work)


@router.patch("/tunes/{number}", summary="Change title, name or characteristics", openapi_extra=requests.body_of(TunePatch, "tune"))
async def change_tune(number: str, request: Request, services: Using, account: Owner) -> Json:
    async with requests.body(request, services, "tune") as (values, _):
        patch = TunePatch.read(values)

    def work() -> Json:
        with services.db.write() as session:
            return shapes.tune(tunes.change(session, account, row_id(number), patch), services.settings, services.sign)

    return await asyncio.to_thread(work)


@router.delete("/tunes/{number}", summary="Delete a tune, its photos and its LoRA")
def delete_tune(number: str, request: Request, services: Using, account: Owner) -> Json:
    with_prompts = request.query_params.get("delete_prompts") in ("1", "true")
    wanted = row_id(number)
    room.delete(
        services.db, services.store, lambda session: tunes.delete(session, services.jobs, account, wanted, with_prompts=with_prompts)
    )  # fmt: skip
    return {"message": "Tune successfully deleted"}


@router.post("/tunes/{number}/cancel", summary="End a training that is queued or under way")
def cancel_tune(number: str, services: Using, account: Owner) -> Json:
    with services.db.write() as session:
        tune = tunes.cancel(session, services.jobs, account, row_id(number))
        return shapes.tune(tune, services.settings, services.sign)


@router.get("/tunes/{number}/progress", summary="How far a training is", response_model=None)
async def progress(number: str, request: Request, services: Using, account: Owner) -> Json | Response:
    """`Accept: text/event-stream` gives an event for each change, until the training is over or the server stops."""

    def look() -> Json:
        with services.db.read() as session:
            tune = tunes.get(session, account, row_id(number))
            over = bool(tune.trained_at or tune.failed_at)
            return {"id": tune.id, "over": over, "trained_at": shapes.time(tune.trained_at), "user_error": tune.user_error, **tune.progress}

    first = await asyncio.to_thread(look)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return first

    async def events() -> AsyncIterator[str]:
        shown: Json | None = None
        while True:
            state = await asyncio.to_thread(look)
            if state != shown:
                yield f"data: {json.dumps(state)}\n\n"
                shown = state
            if state["over"] or services.stopping.is_set() or await request.is_disconnected():
                return
            await asyncio.sleep(1)

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})


# ── prompts ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("/tunes/{number}/prompts", status_code=201, summary="Draw", openapi_extra=requests.body_of(PromptForm, "prompt"))
async def create_prompt(number: str, request: Request, services: Using, account: Owner) -> Response:
    return await _create_prompt(request, services, account, number)


@router.post("/prompts", status_code=201, summary="Draw on prompt[tune_id]", openapi_extra=requests.body_of(PromptForm, "prompt"))
async def create_top_prompt(request: Request, services: Using, account: Owner) -> Response:
    return await _create_prompt(request, services, account, None)


async def _create_prompt(request: Request, services: Services, account: Account, number: str | None) -> Response:
    limits = of_pictures(services.settings.image_mb)
    async with requests.body(request, services, "prompt", limits) as (values, _), looking.started() as start:
        given = inputs.given(values)
        form = PromptForm.lenient(values)
        target = row_id(number) if number is not None else form.tune_id or shapes.FLUX_DEV
        told = values | await asyncio.to_thread(inputs.digests, given)

        async def look() -> None:
            await looking.take(
                services, account, given, start, lambda s, owner: prompts.fits(s, services.settings, owner, form, target=target)
            )

        def work(session: Session, owner: Account) -> Json:
            made = prompts.create(session, services.settings, services.jobs, owner, form, target=target, start=start)
            return shapes.prompt(made, services.settings, services.sign)

        return await requests.answered_once(request, services, account, told, work, look)


@router.get("/prompts", summary="List prompts, newest first")
async def list_prompts(request: Request, services: Using) -> Response:
    return await _listed(request, services, requests.number(request, "tune_id"))


@router.get("/tunes/{number}/prompts", summary="List the prompts on a base, or those that use a tune")
async def list_tune_prompts(number: str, request: Request, services: Using) -> Response:
    return await _listed(request, services, row_id(number), of_tune=True)


async def _listed(request: Request, services: Services, tune_id: int | None, *, of_tune: bool = False) -> Response:
    asked, query = page(request, MOST_PROMPTS_OFFSET), request.query_params
    liked, since = query.get("liked"), now().replace(hour=0, minute=0, second=0, microsecond=0) if said(query.get("today")) else None

    def work(session: Session, account: Account) -> list[Json]:
        if of_tune and tune_id is not None and tune_id >= FIRST_TUNE:
            tunes.get(session, account, tune_id)  # of somebody else, or of nobody: not found
        rows = prompts.listed(
            session, account, **asked, tune_id=tune_id, text=query.get("text"), liked=said(liked) if liked else None, since=since,
            equal={name: requests.number(request, name) for name in ("pack_id", "base_pack_id", "orig_prompt_id", "order_id", "user_id")},
        )  # fmt: skip
        return [shapes.prompt(row, services.settings, services.sign) for row in rows if not said(query.get("is_video"))]

    return await requests.looked_up(request, services, work)


@router.get("/prompts/{number}", summary="Get a prompt")
@router.get("/tunes/{tune}/prompts/{number}", summary="Get a prompt", operation_id="get_tune_prompt")
async def get_prompt(number: str, request: Request, services: Using) -> Response:
    wanted = row_id(number)

    def work(session: Session, account: Account) -> Json:
        return shapes.prompt(prompts.get(session, account, wanted), services.settings, services.sign)

    return await requests.looked_up(request, services, work)


@router.patch("/prompts/{number}", summary="Make it a template of a pack, by pack_id, or one made from a pack, by base_pack_id")
@router.patch("/tunes/{tune}/prompts/{number}", summary="As PATCH /prompts/{number}", operation_id="change_tune_prompt")
async def change_prompt(number: str, request: Request, services: Using, account: Owner) -> Json:
    async with requests.body(request, services, "prompt") as (values, _):
        form = PromptForm.read({name: values.get(name) for name in ("pack_id", "base_pack_id")})

    def work() -> Json:
        with services.db.write() as session:
            prompt = prompts.get(session, account, row_id(number))
            if "pack_id" in values:
                templates.attach(session, account, prompt, form.pack_id)
            if "base_pack_id" in values:
                templates.belongs(session, account, prompt, form.base_pack_id)
            session.flush()
            return shapes.prompt(prompt, services.settings, services.sign)

    return await asyncio.to_thread(work)


@router.delete("/prompts/{number}", summary="Delete a prompt and its pictures")
@router.delete("/tunes/{tune}/prompts/{number}", summary="Delete a prompt and its pictures", operation_id="delete_tune_prompt")
def delete_prompt(number: str, services: Using, account: Owner) -> Json:
    wanted = row_id(number)
    room.delete(services.db, services.store, lambda session: prompts.delete(session, services.jobs, account, wanted))
    return {"message": "Prompt successfully deleted"}


@router.post("/prompts/{number}/duplicate", status_code=201, summary="Draw again, with changes")
async def duplicate_prompt(number: str, request: Request, services: Using, account: Owner) -> Response:
    async with requests.body(request, services, "prompt") as (values, _):

        def work(session: Session, owner: Account) -> Json:
            made = prompts.duplicate(session, services.settings, services.jobs, owner, row_id(number), values)
            return shapes.prompt(made, services.settings, services.sign)

        return await requests.answered_once(request, services, account, values, work)


@router.post("/prompts/{number}/likes", status_code=201, summary="Like", response_model=None)
@router.delete("/prompts/{number}/likes", status_code=201, summary="Like no more", response_model=None, operation_id="unlike_prompt")
@router.delete("/prompts/{number}/like", status_code=201, summary="Like no more", response_model=None, operation_id="unlike_prompt_2")
def like(number: str, request: Request, services: Using, account: Owner) -> Response:
    return _liked(services, account, number, lambda before: request.method == "POST", 201)


@router.post("/prompts/{number}/like", summary="Like, or like no more", response_model=None)
def toggle_like(number: str, services: Using, account: Owner) -> Response:
    return _liked(services, account, number, lambda before: not before, 200)


def _liked(services: Services, account: Account, number: str, change: Callable[[bool], bool], status: int) -> Response:
    with services.db.write() as session:
        prompt = prompts.get(session, account, row_id(number))
        packs.like(session, prompt, change(prompt.liked))
    return Response(status_code=status)
