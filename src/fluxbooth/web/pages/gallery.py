"""The gallery: prompts with their pictures, and many pictures at once as a zip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract.queries import MOST
from fluxbooth.service.db.tables import Account, Tune
from fluxbooth.service.errors import NotFound
from fluxbooth.service.files import reserve
from fluxbooth.service.prompts import prompts
from fluxbooth.service.tunes import tunes
from fluxbooth.types import Json
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.params import number, row_id
from fluxbooth.web.pages import view_models
from fluxbooth.web.pages.login import PartViewer, Viewer, same_origin
from fluxbooth.web.pages.render import page, redirect, wants_part
from fluxbooth.web.pages.texts import text
from fluxbooth.web.pages.zip_stream import zipped
from fluxbooth.web.state import Services

A_PAGE, MOST_TUNES = 24, 100
GALLERY = "/app/gallery"
CHOSEN = "picture[]"  # the boxes of pictures that are ticked
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


@router.post("/prompts/{prompt_id}/again")
def again(prompt_id: str, request: Request, services: Using, account: Viewer) -> Response:
    """What failed once more, in its place."""
    made: list[Json] = []

    def replaced(session: Session) -> list[str]:
        number = row_id(prompt_id)
        if prompts.get(session, account, number).user_error is None:
            raise NotFound
        new = prompts.duplicate(Context.of(services, session, account), number, {"seed": None})
        made[:] = [view_models.prompt(new)]
        return prompts.delete(session, services.jobs, account, number)

    reserve.delete(services.db, services.store, replaced)
    return (
        page(request, "card.html", 201, prompt=made[0])
        if wants_part(request)
        else redirect("/app/gallery")
    )


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
        shown = [view_models.prompt(row, only_liked=bool(liked)) for row in rows]
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
    picture: Annotated[list[str] | None, Query(alias=CHOSEN)] = None,
    liked: str = "",
    tune: str = "",
    words: str = "",
) -> Response:
    """The pictures that are named, else all that the filters of the gallery show."""
    left = set(picture or [])
    asked = _filter(liked, tune, words)

    def files() -> Iterator[tuple[str, Path]]:
        before = None
        while True:
            with services.db.read() as session:
                rows = prompts.listed(
                    session, account, limit=MOST, offset=0, before=before, **asked
                )
            for row in rows:
                for image in row.images:
                    if (image.name in left) if picture else (image.liked or not liked):
                        left.discard(image.name)
                        path = services.store.path(image.key)
                        yield f"fluxbooth-{row.id}-{image.seed}{path.suffix}", path
            if len(rows) < MOST or (picture and not left):
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


def new_card(
    request: Request, services: Services, account: Account, number: int, after: str = GALLERY
) -> Response:
    """A prompt that was just made: its card for a script, else the page where it stands."""
    if not wants_part(request):
        return redirect(after)
    with services.db.read() as session:
        shown = view_models.prompt(prompts.get(session, account, number))
    return page(request, "card.html", 201, prompt=shown)
