"""The pages of packs: all of them, one with its prompts to edit and to run, and a new one made
of prompts that one likes."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from fluxbooth.prompts.language import trigger_words
from fluxbooth.service.context import Context
from fluxbooth.service.contract import response_models
from fluxbooth.service.contract.forms import PackForm
from fluxbooth.service.db.tables import Account, Pack
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.packs import pack_editing, packs
from fluxbooth.service.prompts import tags
from fluxbooth.types import Json, is_list
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.params import row_id
from fluxbooth.web.http.requests import read
from fluxbooth.web.pages import once, view_models
from fluxbooth.web.pages.gallery import usable_tunes
from fluxbooth.web.pages.login import Viewer, same_origin
from fluxbooth.web.pages.render import local, page, redirect, sentences
from fluxbooth.web.pages.texts import text
from fluxbooth.web.state import Services

MOST = 100
OUR_PICTURES = ("/images/", "/app/static/covers/")
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/packs")
def pack_list(request: Request, services: Using, account: Viewer) -> Response:
    with services.db.read() as session:
        mine = packs.listed(
            session, account, limit=MOST, offset=0, before=None, public=False, listed=False
        )
        public = packs.listed(
            session, None, limit=MOST, offset=0, before=None, public=True, listed=True
        )
        private = [pack for pack in mine if not pack.public_at]
        shown = [
            _shown(session, services, request, pack, account)
            for pack in (*private, *reversed(public))
        ]
    return page(request, "packs.html", title=text("packs.title"), packs=shown)


@router.get("/packs/new")
def new_pack(request: Request, services: Using, account: Viewer) -> Response:
    return _new(request, services, account, {"title": "", "subtitle": ""}, [])


@router.post("/packs")
async def create_pack(request: Request, services: Using, account: Viewer) -> Response:
    values = await read(request, services)
    chosen = _numbers(values, "prompts")

    def work(session: Session, owner: Account) -> Json:
        pack = packs.create(session, services.settings, owner, PackForm.read(values))
        pack_editing.add(session, owner, pack, chosen)
        return {"slug": pack.slug}

    try:
        made = await asyncio.to_thread(
            once.made_once, services, account, request.url.path, values, work
        )
    except ServiceError as error:
        return _new(request, services, account, values, sentences(error), chosen, error.status)
    return redirect(f"/app/packs/{made['slug']}")


@router.get("/packs/{name}")
def pack_page(name: str, request: Request, services: Using, account: Viewer) -> Response:
    return _page(request, services, account, name)


@router.post("/packs/{name}/draw")
async def draw(name: str, request: Request, services: Using, account: Viewer) -> Response:
    """Runs it on a tune that is there; on photos it is run by the page that makes a tune."""
    values = await read(request, services)

    def work(session: Session, owner: Account) -> response_models.PackDrawn:
        pack = packs.get(session, owner, name)
        changes = {"num_images": values["count"]} if values.get("count") else {}
        run = {"tune_ids": [values.get("tune", "")], "prompt_attributes": changes}
        return packs.draw(Context.of(services, session, owner), pack, run)

    try:
        made = await asyncio.to_thread(
            once.made_once, services, account, request.url.path, values, work
        )
    except ServiceError as error:
        return _page(request, services, account, name, sentences(error), error.status)
    return redirect(f"/app/create?tune={made['order']['tune_ids'][0]}#results")


@router.post("/packs/{name}/edit")
async def edit(name: str, request: Request, services: Using, account: Viewer) -> Response:
    """One change, named by the button: `do` is `change`, `add`, `PICTURE.cover`, or `TEMPLATE.`
    and `earlier`, `later`, `out` or `text`."""
    values = await read(request, services)
    try:
        with services.db.write() as session:
            pack = pack_editing.own(session, account, name)
            place = _edit(session, services, account, pack, str(values.get("do") or ""), values)
    except ServiceError as error:
        return _page(request, services, account, name, sentences(error), error.status)
    return redirect(f"/app/packs/{name}{place}")


def _edit(
    session: Session, services: Services, account: Account, pack: Pack, asked: str, values: Json
) -> str:
    """Does it; the fragment of the page to go on at."""
    number, _, verb = asked.rpartition(".")
    if verb == "change":
        pack_editing.change(pack, PackForm.read(values))
    elif verb == "cover":
        pack_editing.cover(session, pack, number)
    elif verb == "add":
        pack_editing.add(session, account, pack, _numbers(values, "prompts"))
    elif verb == "out":
        pack_editing.remove(session, pack, row_id(number))
    elif verb == "text":
        pack_editing.reword(session, pack, row_id(number), str(values.get(f"text-{number}") or ""))
    else:
        pack_editing.move(session, pack, row_id(number), {"earlier": -1, "later": 1}.get(verb, 0))
    return f"#prompt-{number}" if verb in ("earlier", "later", "text") else ""


@router.post("/prompts/{prompt_id}/pack")
async def add_to_pack(
    prompt_id: str, request: Request, services: Using, account: Viewer
) -> Response:
    values = await read(request, services)
    with services.db.write() as session:
        pack = pack_editing.own(session, account, str(values.get("pack") or ""))
        pack_editing.add(session, account, pack, [row_id(prompt_id)])
        return redirect(f"/app/packs/{pack.slug}")


def _numbers(values: Json, name: str) -> list[int]:
    given = values.get(name)
    return [row_id(str(value)) for value in (given if is_list(given) else [])]


def _new(
    request: Request,
    services: Services,
    account: Account,
    values: Json,
    errors: list[str],
    chosen: list[int] | None = None,
    status: int = 200,
) -> Response:
    with services.db.read() as session:
        fit = [view_models.prompt(row) for row in pack_editing.fitting(session, account)]
    return page(
        request,
        "new_pack.html",
        status,
        title=text("pack.new"),
        values=values,
        prompts=fit,
        chosen=chosen or [],
        errors=errors,
        once=once.mark(),
    )


def _page(
    request: Request,
    services: Services,
    account: Account,
    name: str,
    errors: list[str] | None = None,
    status: int = 200,
) -> Response:
    with services.db.read() as session:
        pack = packs.get(session, account, name)
        shown = _shown(session, services, request, pack, account)
        suited = [
            tune
            for tune in usable_tunes(session, account)
            if tune["name"].strip().lower() in shown["classes"]
        ]
        fit = (
            [view_models.prompt(row) for row in pack_editing.fitting(session, account)]
            if shown["mine"]
            else []
        )
    return page(
        request,
        "pack.html",
        status,
        title=shown["title"],
        pack=shown,
        tunes=suited,
        fit=fit,
        errors=errors or [],
        once=once.mark(),
    )


def _shown(
    session: Session, services: Services, request: Request, pack: Pack, account: Account
) -> Json:
    whole = packs.shape(session, pack, services.settings)
    pictures = {
        row["id"]: row["images"] for rows in whole["prompts_per_class"].values() for row in rows
    }
    classes: dict[str, list[Json]] = {}
    for row in whole["template_prompts"]:
        images = [local(url, request) for url in pictures[row["id"]]]
        names = [PurePosixPath(url).stem for url in images]
        words = " ".join(tags.TAG.sub(" ", row["text"]).split())
        classes.setdefault(row["class_name"], []).append(
            {**row, "words": words, "images": list(zip(names, images, strict=True))}
        )
    first = [url for rows in classes.values() for row in rows for _, url in row["images"]]
    cover = local(pack.cover or "", request)
    return {
        **whole,
        "classes": classes,
        "mine": pack.account_id == account.id,
        "count": max(map(len, classes.values()), default=0),
        # no picture of another host is shown
        "cover": cover if cover.startswith(OUR_PICTURES) else first[0] if first else None,
        "sample": next(
            (
                row["words"].removeprefix(trigger_words(pack.token, name))
                for name, rows in classes.items()
                for row in rows
            ),
            "",
        ),
    }
