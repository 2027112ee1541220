"""One picture, large, and what can be done with it or with several that are ticked."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Account, Image, Prompt
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.files import reserve
from fluxbooth.service.packs import packs
from fluxbooth.service.prompts import input_images, pictures, prompts
from fluxbooth.types import Json, is_list
from fluxbooth.web.http import requests
from fluxbooth.web.http.auth import Using
from fluxbooth.web.pages import deeds, once, thumbnails, view_models
from fluxbooth.web.pages.gallery import CHOSEN, MOST_TUNES, new_card
from fluxbooth.web.pages.login import PartViewer, Sent, Viewer, same_origin
from fluxbooth.web.pages.render import page, redirect, wants_part
from fluxbooth.web.pages.texts import text
from fluxbooth.web.state import Services

VARIED = 0.6  # how far a variation goes from its picture
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/pictures/{name}")
def picture(name: str, request: Request, services: Using, account: Viewer) -> Response:
    """One picture large, with its recipe: a page of its own, or what the large view of the
    gallery shows."""
    with services.db.read() as session:
        row, of = pictures.get(session, account, name)
        shown = view_models.image(row, of)
        made = view_models.prompt(of)
        mine = packs.listed(
            session, account, limit=MOST_TUNES, offset=0, before=None, public=False, listed=False
        )
        quotes = deeds.quotes(session, services.settings, account, row, of)
        takes = deeds.takes(session, services.settings, account, of)
    template = "picture_part.html" if wants_part(request) else "picture.html"
    return page(
        request,
        template,
        title=text("picture.title"),
        image=shown,
        prompt=made,
        packs=mine,
        deeds=quotes,
        takes=takes,
        sides=deeds.SIDES,
        once=once.mark(),
    )


@router.post("/pictures/{name}/like")
def like(name: str, request: Request, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        row, of = pictures.get(session, account, name)
        packs.like_picture(session, row, of, not row.liked)
        liked = row.liked
    return (
        JSONResponse({"liked": liked}) if wants_part(request) else redirect(f"/app/pictures/{name}")
    )


@router.post("/pictures/{name}/again")
def again(name: str, request: Request, services: Using, account: Viewer, sent: Sent) -> Response:
    """One picture like this, from another seed."""

    def work(session: Session, owner: Account) -> Json:
        return {"id": pictures.again(Context.of(services, session, owner), name).id}

    made = once.made_once(services, account, request.url.path, sent, work)
    return new_card(request, services, account, made["id"])


@router.post("/pictures/{name}/vary")
def vary(name: str, request: Request, services: Using, account: Viewer, sent: Sent) -> Response:
    """The same words and another seed, from this picture instead of from noise."""

    def work(session: Session, owner: Account) -> Json:
        row, of = pictures.get(session, owner, name)
        values = {**of.fields, "text": of.text, "seed": None, "denoising_strength": VARIED}
        made = prompts.create(
            Context.of(services, session, owner),
            PromptForm.read(values),
            target=of.tune_id,
            start=input_images.of_file(services.store, row.key),
        )
        return {"id": made.id}

    made = once.made_once(services, account, request.url.path, sent, work)
    return new_card(request, services, account, made["id"])


@router.post("/pictures/{name}/delete")
def delete(name: str, request: Request, services: Using, account: Viewer) -> Response:
    _delete(services, account, [name])
    return JSONResponse({"deleted": [name]}) if wants_part(request) else redirect("/app/gallery")


@router.post("/pictures")
async def chosen(request: Request, services: Using, account: Viewer) -> Response:
    """Likes or deletes the pictures that are ticked in the gallery."""
    sent = await requests.read(request, services)
    given = sent.get(CHOSEN.removesuffix("[]"))
    names = list(dict.fromkeys(map(str, given))) if is_list(given) else []
    if not names:
        raise ServiceError(text("gallery.none_chosen"))
    work = _delete if sent.get("do") == "delete" else _like
    await asyncio.to_thread(work, services, account, names)
    answer = {"deleted" if sent.get("do") == "delete" else "liked": names}
    return JSONResponse(answer) if wants_part(request) else redirect("/app/gallery")


def _like(services: Services, account: Account, names: list[str]) -> None:
    with services.db.write() as session:
        for row, of in [pictures.get(session, account, name) for name in names]:
            packs.like_picture(session, row, of, True)


def _delete(services: Services, account: Account, names: list[str]) -> None:
    reserve.delete(
        services.db,
        services.store,
        lambda session: pictures.delete_all(session, services.jobs, account, names),
    )


@router.get("/thumbs/{name}")
def thumb(name: str, services: Using, account: PartViewer) -> FileResponse:
    with services.db.read() as session:
        asked = (
            select(Image.key)
            .join(Prompt)
            .where(Image.name == name, Prompt.account_id == account.id, Prompt.deleted_at.is_(None))
        )
        key = session.scalar(asked)
    if key is None:
        raise NotFound
    return thumbnails.of_picture(services.store, key)
