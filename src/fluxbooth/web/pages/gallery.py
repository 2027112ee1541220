"""The pages that show pictures: the gallery, one picture large, and what can be done with each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.contract.queries import MOST
from fluxbooth.service.db.tables import Account, Image, Prompt, Tune
from fluxbooth.service.errors import NotFound
from fluxbooth.service.files import reserve
from fluxbooth.service.packs import packs
from fluxbooth.service.prompts import input_images, prompts
from fluxbooth.service.tunes import tunes
from fluxbooth.types import Json
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.params import number, row_id
from fluxbooth.web.pages import deeds, once, thumbnails, view_models
from fluxbooth.web.pages.login import PartViewer, Sent, Viewer, same_origin
from fluxbooth.web.pages.render import page, redirect, wants_part
from fluxbooth.web.pages.texts import text
from fluxbooth.web.pages.zip_stream import zipped
from fluxbooth.web.state import Services

A_PAGE, MOST_TUNES = 24, 100
GALLERY = "/app/gallery"
VARIED = 0.6  # how far a variation goes from its picture
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


def usable_tunes(session: Session, account: Account) -> list[Json]:
    """The newest tunes that pictures can be asked of, those that still train too."""
    known = newest_tunes(session, account)
    return [view_models.tune(row) for row in known if not row.failed_at]


def newest_tunes(session: Session, account: Account) -> Sequence[Tune]:
    return tunes.listed(
        session,
        account,
        limit=MOST_TUNES,
        offset=0,
        before=None,
        title=None,
        names=[],
        model_type=None,
        branch=None,
    )


@router.get("/prompts/{prompt_id}")
def card(prompt_id: str, request: Request, services: Using, account: PartViewer) -> Response:
    """A prompt as it stands now, for a page that waits for its pictures."""
    with services.db.read() as session:
        return page(
            request,
            "card.html",
            prompt=view_models.prompt(prompts.get(session, account, row_id(prompt_id))),
        )


@router.post("/prompts/{prompt_id}/like")
def like(prompt_id: str, request: Request, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        row = prompts.get(session, account, row_id(prompt_id))
        packs.like(session, row, not row.liked)
        liked, name = row.liked, row.images[0].name if row.images else ""
    return (
        JSONResponse({"liked": liked}) if wants_part(request) else redirect(f"/app/pictures/{name}")
    )


@router.post("/prompts/{prompt_id}/again")
def again(
    prompt_id: str, request: Request, services: Using, account: Viewer, sent: Sent
) -> Response:
    """The same once more, from another seed."""

    def work(session: Session, owner: Account) -> Json:
        context = Context.of(services, session, owner)
        return {"id": prompts.duplicate(context, row_id(prompt_id), {"seed": None}).id}

    made = once.made_once(services, account, request.url.path, sent, work)
    return new_card(request, services, account, made["id"])


@router.post("/prompts/{prompt_id}/cancel")
def cancel(prompt_id: str, request: Request, services: Using, account: Viewer) -> Response:
    """Ends a prompt; without a picture it is taken away."""
    wanted, gone = row_id(prompt_id), False

    def ended(session: Session) -> list[str]:
        nonlocal gone
        keys = prompts.cancel(session, services.jobs, account, wanted)
        gone = bool(keys)
        return keys

    reserve.delete(services.db, services.store, ended)
    return JSONResponse({"deleted": gone}) if wants_part(request) else redirect("/app/queue")


@router.post("/prompts/{prompt_id}/delete")
def delete(prompt_id: str, request: Request, services: Using, account: Viewer) -> Response:
    wanted = row_id(prompt_id)
    reserve.delete(
        services.db,
        services.store,
        lambda session: prompts.delete(session, services.jobs, account, wanted),
    )
    return JSONResponse({"deleted": True}) if wants_part(request) else redirect(GALLERY)


@router.get("/gallery")
def gallery(
    request: Request,
    services: Using,
    account: Viewer,
    liked: str = "",
    tune: str = "",
    words: str = "",
) -> Response:
    with services.db.read() as session:
        asked = _filter(liked, tune, words)
        rows = prompts.listed(
            session, account, limit=A_PAGE, offset=0, before=number(request, "before_id"), **asked
        )
        shown = [view_models.prompt(row) for row in rows]
        choices = [
            {"id": str(row.id), "title": row.title} for row in newest_tunes(session, account)
        ]
    chosen = {"liked": liked, "tune": tune, "words": words}
    older = {"before_id": shown[-1]["id"], **chosen} if len(shown) == A_PAGE else None
    return page(
        request,
        "gallery.html",
        title=text("gallery.title"),
        prompts=shown,
        older=older,
        chosen=chosen,
        filtered=any(chosen.values()),
        tunes=choices,
    )


@router.get("/pictures.zip")
def many(
    services: Using,
    account: Viewer,
    prompt: Annotated[list[str] | None, Query()] = None,
    liked: str = "",
    tune: str = "",
    words: str = "",
) -> Response:
    """The pictures of the prompts that are named, else of all that the filters of the gallery
    show."""
    chosen = {row_id(number) for number in prompt or []}
    asked = _filter(liked, tune, words)

    def files() -> Iterator[tuple[str, Path]]:
        before = None
        while True:
            with services.db.read() as session:
                rows = prompts.listed(
                    session, account, limit=MOST, offset=0, before=before, **asked
                )
            for row in rows:
                if not chosen or row.id in chosen:
                    yield from (
                        (f"fluxbooth-{row.id}-{image.seed}{path.suffix}", path)
                        for image in row.images
                        for path in (services.store.path(image.key),)
                    )
            if len(rows) < MOST or (chosen and rows[-1].id < min(chosen)):
                return
            before = rows[-1].id

    headers = {
        "Content-Disposition": 'attachment; filename="fluxbooth-pictures.zip"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(zipped(files()), media_type="application/zip", headers=headers)


def _filter(liked: str, tune: str, words: str) -> Json:
    """The filters of the gallery as `prompts.listed` takes them."""
    return {
        "tune_id": row_id(tune) if tune else None,
        "text": words.strip() or None,
        "liked": True if liked else None,
    }


@router.get("/pictures/{name}")
def picture(name: str, request: Request, services: Using, account: Viewer) -> Response:
    """One picture large, with its recipe: a page of its own, or what the large view of the
    gallery shows."""
    with services.db.read() as session:
        row, of = own_picture(session, account, name)
        shown = view_models.image(row, of)
        made = view_models.prompt(of)
        mine = packs.listed(
            session, account, limit=MOST_TUNES, offset=0, before=None, public=False, listed=False
        )
        quotes = deeds.quotes(session, services.settings, account, row, of)
    template = "picture_part.html" if wants_part(request) else "picture.html"
    return page(
        request,
        template,
        title=text("picture.title"),
        image=shown,
        prompt=made,
        packs=mine,
        deeds=quotes,
        sides=deeds.SIDES,
        once=once.mark(),
    )


@router.post("/pictures/{name}/vary")
def vary(name: str, request: Request, services: Using, account: Viewer, sent: Sent) -> Response:
    """The same words and another seed, from this picture instead of from noise."""

    def work(session: Session, owner: Account) -> Json:
        row, of = own_picture(session, owner, name)
        values = {**of.fields, "text": of.text, "seed": None, "denoising_strength": VARIED}
        start = input_images.of_file(services.store, row.key)
        made = prompts.create(
            Context.of(services, session, owner),
            PromptForm.read(values),
            target=of.tune_id,
            start=start,
        )
        return {"id": made.id}

    made = once.made_once(services, account, request.url.path, sent, work)
    return new_card(request, services, account, made["id"])


def new_card(
    request: Request, services: Services, account: Account, number: int, after: str = GALLERY
) -> Response:
    """A prompt that was just made: its card for a script, else the page where it stands."""
    if not wants_part(request):
        return redirect(after)
    with services.db.read() as session:
        shown = view_models.prompt(prompts.get(session, account, number))
    return page(request, "card.html", 201, prompt=shown)


def own_picture(session: Session, account: Account, name: str) -> tuple[Image, Prompt]:
    """A picture of the account, and the prompt that it is of. Raises NotFound for any other."""
    mine = (
        select(Prompt)
        .join(Image)
        .where(Image.name == name, Prompt.account_id == account.id, Prompt.deleted_at.is_(None))
    )
    of = session.scalar(mine.options(*prompts.LOADED))
    if of is None:
        raise NotFound
    return next(row for row in of.images if row.name == name), of


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
