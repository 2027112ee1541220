"""The pages that make and show pictures: Create, the gallery, one picture large."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth import prompts as language
from fluxbooth.service import packs, prompts, tunes
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.schemas import PromptForm
from fluxbooth.service.settings import MB
from fluxbooth.service.shapes import FLUX_DEV
from fluxbooth.service.tables import Account, Image, Prompt
from fluxbooth.specs import ASPECT_RATIOS
from fluxbooth.web import forms, thumbnails, views
from fluxbooth.web.api import row_id
from fluxbooth.web.render import page, redirect, sentences, wants_part
from fluxbooth.web.requests import MOST, Using, number
from fluxbooth.web.sessions import Viewer, same_origin
from fluxbooth.web.texts import text
from fluxbooth.web.zipping import zipped

Json = dict[str, Any]
A_PAGE, RECENT, MOST_TUNES = 24, 12, 100
RATIOS = ("1:1", "3:4", "2:3", "9:16", "4:3", "3:2", "16:9")
BLANK = {"text": "", "tune": "", "ratio": "1:1", "count": "1", "seed": ""}
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/create")
def create_page(request: Request, services: Using, account: Viewer) -> Response:
    values = {name: request.query_params.get(name, blank)[: language.MAX_CHARACTERS] for name, blank in BLANK.items()}
    return _form(request, services, account, values, [])


@router.post("/prompts")
async def create_prompt(request: Request, services: Using, account: Viewer) -> Response:
    """Draws. A script gets the card of the new prompt, a plain form the page with it."""
    whole = await forms.read(request, services.store.incoming, forms.Limits(request=MB))
    values = {name: str(whole.get(name) or blank) for name, blank in BLANK.items()}
    fields = {"text": values["text"], "aspect_ratio": values["ratio"], "num_images": values["count"], "seed": values["seed"]}

    def work() -> Json:
        with services.db.write() as session:
            target = row_id(values["tune"]) if values["tune"] else FLUX_DEV
            return views.prompt(prompts.create(session, services.settings, services.jobs, account, PromptForm.read(fields), target=target))

    try:
        made = await asyncio.to_thread(work)
    except ServiceError as error:
        if wants_part(request):
            return JSONResponse({"errors": sentences(error)}, error.status)
        return await asyncio.to_thread(_form, request, services, account, values, sentences(error), error.status)
    return page(request, "card.html", 201, prompt=made) if wants_part(request) else redirect(f"/app/create?tune={values['tune']}")


def _form(request: Request, services: Using, account: Account, values: Json, errors: list[str], status: int = 200) -> Response:
    with services.db.read() as session:
        usable = usable_tunes(session, account)
        chosen = next((row for row in usable if str(row["id"]) == values["tune"]), None)
        recent = prompts.listed(
            session, account, limit=RECENT, offset=0, before=None, tune_id=chosen["id"] if chosen else None, text=None, liked=None
        )
        shown = [views.prompt(row) for row in recent]
    values["text"] = values["text"] or (f"{chosen['trigger']} " if chosen else "")
    ratios = RATIOS if values["ratio"] in RATIOS or values["ratio"] not in ASPECT_RATIOS else (*RATIOS, values["ratio"])
    return page(
        request, "create.html", status, title=text("create.title"), tunes=usable, chosen=chosen, values=values, errors=errors,
        ratios=[(ratio, *_box(ratio)) for ratio in ratios], prompts=shown,
    )  # fmt: skip


def usable_tunes(session: Session, account: Account) -> list[Json]:
    """The newest tunes that pictures can be asked of, those that still train too."""
    known = tunes.listed(session, account, limit=MOST_TUNES, offset=0, before=None, title=None, names=[], model_type=None, branch=None)
    return [views.tune(row) for row in known if not row.failed_at]


def _box(ratio: str) -> tuple[float, float]:
    """Width and height of the shape that stands for an aspect ratio, the longer side 22."""
    wide, high = (int(side) for side in ratio.split(":"))
    return round(22 * wide / max(wide, high), 1), round(22 * high / max(wide, high), 1)


@router.post("/advice")
def advice(services: Using, account: Viewer, text: Annotated[str, Form()] = "", tune: Annotated[str, Form()] = "") -> Json:
    """What the prompt language says about a text as it is typed."""
    trigger = None
    if tune:
        with services.db.read() as session:
            row = tunes.get(session, account, row_id(tune))
            trigger = language.trigger_words(row.token or "", row.name)
    found = language.advise(text[: language.MAX_CHARACTERS], trigger) if text.strip() else []
    return {"advice": [item.to_json() for item in found]}


@router.get("/prompts/{prompt_id}")
def card(prompt_id: str, request: Request, services: Using, account: Viewer) -> Response:
    """A prompt as it stands now, for a page that waits for its pictures."""
    with services.db.read() as session:
        return page(request, "card.html", prompt=views.prompt(prompts.get(session, account, row_id(prompt_id))))


@router.post("/prompts/{prompt_id}/like")
def like(prompt_id: str, request: Request, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        row = prompts.get(session, account, row_id(prompt_id))
        packs.like(session, row, not row.liked)
        liked, name = row.liked, row.images[0].name if row.images else ""
    return JSONResponse({"liked": liked}) if wants_part(request) else redirect(f"/app/pictures/{name}")


@router.post("/prompts/{prompt_id}/again")
def again(prompt_id: str, request: Request, services: Using, account: Viewer) -> Response:
    """The same once more, from another seed."""
    with services.db.write() as session:
        made = prompts.duplicate(session, services.settings, services.jobs, account, row_id(prompt_id), {"seed": None})
        shown = views.prompt(made)
    return page(request, "card.html", 201, prompt=shown) if wants_part(request) else redirect("/app/gallery")


@router.post("/prompts/{prompt_id}/delete")
def delete(prompt_id: str, request: Request, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        keys = prompts.delete(session, account, row_id(prompt_id))
        services.jobs.settle(session, account.id)
    for key in keys:
        services.store.remove(key)
    return JSONResponse({"deleted": True}) if wants_part(request) else redirect("/app/gallery")


@router.get("/gallery")
def gallery(request: Request, services: Using, account: Viewer, liked: str = "", tune: str = "", words: str = "") -> Response:
    with services.db.read() as session:
        asked = _filter(liked, tune, words)
        rows = prompts.listed(session, account, limit=A_PAGE, offset=0, before=number(request, "before_id"), **asked)
        shown = [views.prompt(row) for row in rows]
        known = tunes.listed(session, account, limit=MOST_TUNES, offset=0, before=None, title=None, names=[], model_type=None, branch=None)
        choices = [{"id": str(row.id), "title": row.title} for row in known]
    chosen = {"liked": liked, "tune": tune, "words": words}
    older = {"before_id": shown[-1]["id"], **chosen} if len(shown) == A_PAGE else None
    return page(
        request, "gallery.html", title=text("gallery.title"), prompts=shown, older=older, chosen=chosen, filtered=any(chosen.values()),
        tunes=choices,
    )  # fmt: skip


@router.get("/pictures.zip")
def many(
    services: Using, account: Viewer, prompt: Annotated[list[str] | None, Query()] = None, liked: str = "", tune: str = "", words: str = ""
) -> Response:
    """The pictures of the prompts that are named, else of all that the filters of the gallery show."""
    chosen = {row_id(number) for number in prompt or []}
    asked = _filter(liked, tune, words)

    def files() -> Iterator[tuple[str, Path]]:
        before = None
        while True:
            with services.db.read() as session:
                rows = prompts.listed(session, account, limit=MOST, offset=0, before=before, **asked)
            for row in rows:
                if not chosen or row.id in chosen:
                    yield from ((f"fluxbooth-{row.id}-{image.seed}.jpg", services.store.path(image.key)) for image in row.images)
            if len(rows) < MOST or (chosen and rows[-1].id < min(chosen)):
                return
            before = rows[-1].id

    headers = {"Content-Disposition": 'attachment; filename="fluxbooth-pictures.zip"', "Cache-Control": "no-store"}
    return StreamingResponse(zipped(files()), media_type="application/zip", headers=headers)


def _filter(liked: str, tune: str, words: str) -> Json:
    """The filters of the gallery as `prompts.listed` takes them."""
    return {"tune_id": row_id(tune) if tune else None, "text": words.strip() or None, "liked": True if liked else None}


@router.get("/pictures/{name}")
def picture(name: str, request: Request, services: Using, account: Viewer) -> Response:
    """One picture large, with its recipe: a page of its own, or what the large view of the gallery shows."""
    with services.db.read() as session:
        of = session.scalar(
            select(Prompt)
            .join(Image)
            .where(Image.name == name, Prompt.account_id == account.id, Prompt.deleted_at.is_(None))
            .options(*prompts.LOADED)
        )
        if of is None:
            raise NotFound
        shown = next(views.image(row, of) for row in of.images if row.name == name)
        made = views.prompt(of)
        mine = packs.listed(session, account, limit=MOST_TUNES, offset=0, before=None, public=False, listed=False)
    template = "picture_part.html" if wants_part(request) else "picture.html"
    return page(request, template, title=text("picture.title"), image=shown, prompt=made, packs=mine)


@router.get("/thumbs/{name}")
def thumb(name: str, services: Using, account: Viewer) -> FileResponse:
    with services.db.read() as session:
        asked = select(Image.key).join(Prompt).where(Image.name == name, Prompt.account_id == account.id, Prompt.deleted_at.is_(None))
        key = session.scalar(asked)
    if key is None:
        raise NotFound
    return thumbnails.of_picture(services.store, key)
