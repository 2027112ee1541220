"""The page that makes a tune: photos checked as they arrive, what it will take, and the form
itself, with scripts or without."""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from sqlalchemy.orm import Session

from fluxbooth.photos import faces
from fluxbooth.service import licensing
from fluxbooth.service.billing.ledger import dollars
from fluxbooth.service.context import Context
from fluxbooth.service.contract import response_models, responses
from fluxbooth.service.contract.forms import TuneForm
from fluxbooth.service.db.tables import Account, now
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.estimates import Plan
from fluxbooth.service.packs import packs
from fluxbooth.service.safety import Judge
from fluxbooth.service.tunes import caption_proposals, checks, photo_drafts, tunes, uploads
from fluxbooth.specs import TrainSpec
from fluxbooth.types import Json
from fluxbooth.web.http import body, idempotency, params, picture_checks, requests
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.body import Upload
from fluxbooth.web.http.limits import of_pictures
from fluxbooth.web.http.params import row_id
from fluxbooth.web.pages.login import PartViewer, Sent, Viewer, same_origin
from fluxbooth.web.pages.render import page, redirect, sentences
from fluxbooth.web.pages.texts import duration, plain, text
from fluxbooth.web.pages.training_ways import MORE, WAYS, fields, planned, takes
from fluxbooth.web.state import Services

CLASSES = ("man", "woman", "boy", "girl", "person", "dog", "cat", "bag", "shoe", "house")
BLANK = {
    "title": "",
    "name": "",
    "preset": WAYS[0].name,
    "steps": "",
    "token": "",
    "base_tune_id": "",
    "auto_extend": "",
    "face_crop": "",
    "pack": "",
    "consent": "",
}
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/tunes/new")
def new_tune(
    request: Request,
    services: Using,
    account: Viewer,
    draft: str = "",
    pack: str = "",
    like: str = "",
) -> Response:
    """The form; with a pack, whose prompts are drawn after the training, or named as the tune
    `like` is. Its address names the draft from the first moment on, so that a reload finds what was
    begun."""
    if not photo_drafts.NAME.fullmatch(draft):
        named = {"pack": pack} if pack else {}
        return redirect(
            f"/app/tunes/new?{urlencode({**named, 'draft': secrets.token_urlsafe(16)})}"
        )
    values = {**BLANK, "pack": pack, "face_crop": "true" if account.face_crop else ""}
    if like:
        with services.db.read() as session:
            row = tunes.get(session, account, row_id(like))
            usual = row.token == TrainSpec.model_fields["token"].default
            values |= {"title": row.title, "name": row.name}
            values |= {"token": "" if usual else row.token or ""}
    return _form(request, services, account, draft, values, [])


@router.post("/tunes/{tune_id}/draft")
async def change(tune_id: str, services: Using, account: Viewer) -> Response:
    """The photos of a tune and their captions, on the form of a new one."""
    name = secrets.token_urlsafe(16)

    def work() -> None:
        draft = photo_drafts.draft(services.store, account, name)
        with services.db.read() as session:
            row = tunes.get(session, account, row_id(tune_id))
            judge = Judge(services.settings)
            photo_drafts.fill(draft, services.store, row, services.settings.base, judge)

    async with services.decoding.turn(account.id):
        await asyncio.to_thread(work)
    return redirect(f"/app/tunes/new?{urlencode({'like': tune_id, 'draft': name})}")


@router.post("/tunes")
async def create_tune(request: Request, services: Using, account: Viewer) -> Response:
    whole = await requests.read(request, services, requests.of_photos(services))
    name = str(whole.get("draft") or "")
    draft = photo_drafts.draft(services.store, account, name)
    asked = {key: str(value) for key, value in body.unwrap(whole, "tune").items() if key in BLANK}
    sent = [upload for upload in body.uploads(whole) if upload.size]
    try:
        judge = Judge(services.settings)
        fits, work = _asked_for(services, draft, asked, sent, judge)

        async def look() -> None:
            # a browser without scripts sends them with the form
            await picture_checks.photos(services, account, sent, fits, judge)

        made = await idempotency.run_idempotent(
            services, account, photo_drafts.asked_as(name), "draft", work, look
        )
    except ServiceError as error:
        return await asyncio.to_thread(
            _form,
            request,
            services,
            account,
            name,
            {**BLANK, **asked},
            sentences(error),
            error.status,
        )
    finally:
        await asyncio.to_thread(body.discard, whole)
    await asyncio.to_thread(draft.discard)
    return redirect(f"/app/tunes/{made['id']}")


def _asked_for(
    services: Services, draft: photo_drafts.Draft, asked: Json, sent: list[Upload], judge: Judge
) -> tuple[picture_checks.Check, Any]:
    """What refuses the form before its photos are looked at, and what makes the tune."""

    def photos() -> list[uploads.Upload]:
        return [*draft.uploads(), *sent]

    count = len(draft.photos()) + len(sent)
    values = {name: value for name, value in fields(asked, count).items() if value != ""}

    def fits(session: Session, owner: Account) -> None:
        if not photos():
            raise ServiceError(text("new.no_photos"))
        if services.settings.consent and not asked.get("consent"):
            raise ServiceError(text("new.consent.missing"))
        context = Context.of(services, session, owner)
        if asked.get("pack"):
            packs.check_training(
                context,
                packs.get(session, owner, asked["pack"]),
                values,
                photos(),
            )
        else:
            tunes.check(context, TuneForm.lenient(values), photos())

    def work(session: Session, owner: Account) -> response_models.Tune:
        context = Context.of(services, session, owner)
        if asked.get("pack"):
            tune = packs.train(context, packs.get(session, owner, asked["pack"]), values, photos())
        else:
            tune = tunes.create(context, TuneForm.lenient(values), photos())
        if services.settings.consent and tune.consent is None:
            tune.consent, tune.consented_at = services.settings.consent, now()
        judge.flagged |= any(photo.flagged for photo in draft.photos())
        judge.tell(tune)
        return responses.tune(tune, services.settings, services.sign)

    return fits, work


def _form(
    request: Request,
    services: Services,
    account: Account,
    name: str,
    values: Json,
    errors: list[str],
    status: int = 200,
) -> Response:
    draft, pack, classes = photo_drafts.draft(services.store, account, name), None, CLASSES
    if values["pack"]:
        with services.db.read() as session:
            pack = packs.get(session, account, values["pack"])
            classes = tuple(dict.fromkeys(row.class_name for row in packs.templates(session, pack)))
            pack = {"slug": pack.slug, "title": pack.title, "classes": classes}
    return page(
        request,
        "new_tune.html",
        status,
        title=text("new.title"),
        draft=name,
        values=values,
        errors=errors,
        photos=_photos(draft, name),
        ways=WAYS,
        more_ways=MORE,
        takes=takes(services.db, services.settings, values, len(draft.photos())),
        references=services.settings.references,
        classes=classes,
        pack=pack,
        bases=_bases(services),
        days=services.settings.expiry_days,
        mb=services.settings.image_mb,
        consent=services.settings.consent,
        faces=faces.available(),
        plan=plan_words(planned(services.db, services.settings, values, len(draft.photos()))),
    )


def _bases(services: Services) -> list[tuple[int, str, str]]:
    """Number, title and what it may be used for, of the bases that can be asked for."""
    settings = services.settings
    shown = {number: responses.public_tune(number, settings)["title"] for number in settings.bases}
    return [
        (number, shown[number], text("new.base.may", title=shown[number], means=means))
        for number, _, _, means in licensing.uses(settings)
        if checks.trained_for(settings, number)
    ]


@router.get("/plan")
def the_plan(request: Request, services: Using, account: PartViewer) -> Json:
    """What a training would take, for the form as it stands."""
    asked, count = dict(request.query_params), params.number(request, "photos") or 0
    ways = takes(services.db, services.settings, asked, count)
    if asked.get("preset") == "reference":
        return {"words": [text("new.plan.reference")] if count else [], "steps": 0, "ways": ways}
    found = planned(services.db, services.settings, asked, count)
    return {"words": plan_words(found), "steps": found.steps, "ways": ways}


def plan_words(found: Plan) -> list[str]:
    if not found.photos:
        return []
    lines = [text("new.plan", steps=found.steps, photos=found.photos)]
    how = "new.plan.time" if found.measured else "new.plan.guess"
    lines.append(
        text(how, time=duration(found.seconds)) if found.seconds else text("new.plan.unfit")
    )
    if found.cost_mc:
        lines.append(text("new.plan.cost", amount=dollars(found.cost_mc)))
    if found.waiting:
        lines.append(text("new.plan.queue", jobs=found.waiting))
    lines.append(text("new.plan.deleted", days=found.days) if found.days else text("new.plan.kept"))
    return lines


@router.post("/drafts/{name}/photos")
async def add_photo(name: str, request: Request, services: Using, account: PartViewer) -> Response:
    """One photo; the answer says what was seen on all of them, for the new one may be the twin
    of an old one."""
    draft = photo_drafts.draft(services.store, account, name)
    whole = await requests.read(request, services, of_pictures(services.settings.image_mb, files=1))
    try:
        for upload in body.uploads(whole):
            if upload.filename.lower().endswith(".txt"):
                await asyncio.to_thread(draft.caption_file, upload.path, upload.filename)
                continue
            async with services.decoding.turn(account.id):
                added = await asyncio.to_thread(
                    draft.add,
                    upload.path,
                    upload.filename,
                    services.settings.base,
                    Judge(services.settings),
                )
            if whole.get("instead"):
                await asyncio.to_thread(draft.replace, row_id(str(whole["instead"])), added.number)
    finally:
        await asyncio.to_thread(body.discard, whole)
    return JSONResponse({"photos": await asyncio.to_thread(_photos, draft, name)}, 201)


@router.get("/drafts/{name}/photos")
def list_photos(name: str, services: Using, account: PartViewer) -> Json:
    return {"photos": _photos(photo_drafts.draft(services.store, account, name), name)}


@router.post("/drafts/{name}/photos/{number}/delete")
def remove_photo(name: str, number: str, services: Using, account: PartViewer) -> Json:
    draft = photo_drafts.draft(services.store, account, name)
    draft.remove(row_id(number))
    return {"photos": _photos(draft, name)}


@router.post("/drafts/{name}/photos/{number}/move")
def move_photo(name: str, number: str, services: Using, account: PartViewer, sent: Sent) -> Json:
    draft = photo_drafts.draft(services.store, account, name)
    draft.move(row_id(number), _places(sent.get("by", "")))
    return {"photos": _photos(draft, name)}


def _places(by: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,4}", by):
        raise ServiceError(f"A photo is moved by a number of places, not by {by[:20]!r}.")
    return int(by)


@router.post("/drafts/{name}/photos/{number}/caption")
def caption_photo(name: str, number: str, services: Using, account: PartViewer, sent: Sent) -> Json:
    draft = photo_drafts.draft(services.store, account, name)
    draft.write_caption(row_id(number), sent.get("caption", ""))
    return {"photos": _photos(draft, name)}


@router.post("/drafts/{name}/captions")
async def propose_captions(name: str, services: Using, account: PartViewer, sent: Sent) -> Json:
    """The captions of the photos, proposed ones among them. Claude is shown photos only if that
    is `wanted`; until then `asks` says that it may be."""
    draft = photo_drafts.draft(services.store, account, name)
    base = await asyncio.to_thread(_base_of, services, account, sent)
    by = caption_proposals.proposer(services.settings, base) if base else None
    await asyncio.to_thread(draft.describe, sent.get("name", "").strip(), by)
    asks = by == "claude" and not sent.get("wanted")
    if base and by and not asks:
        # a look at the machine loads torch, too: one at a time
        async with services.looking if by == "reader" else services.writing:
            await asyncio.to_thread(caption_proposals.propose, services.settings, draft, by, base)

    def told() -> Json:
        captions = [{"number": photo.number, **_caption(draft, photo)} for photo in draft.photos()]
        return {
            "captions": captions,
            "asks": asks and bool(by and caption_proposals.unseen(draft, by)),
        }

    return await asyncio.to_thread(told)


def _base_of(services: Services, account: Account, sent: dict[str, str]) -> str | None:
    """The base that the form as it stands trains on; None where that trains none."""
    number = row_id(sent["base_tune_id"]) if sent.get("base_tune_id") else None
    if sent.get("preset") == "reference":
        return None
    if sent.get("pack"):
        with services.db.read() as session:
            number = packs.base_of(packs.get(session, account, sent["pack"]), services.settings)
    branch = "fast" if sent.get("preset") == "trial" else None
    form = TuneForm(title="untitled", name="person", base_tune_id=number, branch=branch)
    return checks.base_of(services.settings, form)[0]


@router.get("/drafts/{name}/photos/{number}")
def small_photo(name: str, number: str, services: Using, account: PartViewer) -> FileResponse:
    photo = photo_drafts.draft(services.store, account, name).photo(row_id(number))
    return FileResponse(
        photo.small, media_type="image/webp", headers={"Cache-Control": "private, max-age=86400"}
    )


def _photos(draft: photo_drafts.Draft, name: str) -> list[Json]:
    alike = draft.alike()
    shown: list[Json] = []
    for photo in draft.photos():
        twins = ", ".join(map(str, alike[photo.number]))
        advice = [*map(plain, photo.advice), *([text("new.same", numbers=twins)] if twins else [])]
        src = f"/app/drafts/{name}/photos/{photo.number}"
        shown.append(
            {
                "number": photo.number,
                "name": photo.filename,
                "src": src,
                "crop": _crop(photo),
                "advice": advice,
            }
            | {"width": photo.width, "height": photo.height}
            | _caption(draft, photo)
        )
    return shown


def _caption(draft: photo_drafts.Draft, photo: photo_drafts.DraftPhoto) -> Json:
    return {"caption": draft.caption_of(photo), "proposed": photo.caption is None}


def _crop(photo: photo_drafts.DraftPhoto) -> list[float]:
    """The part that is trained on, as shares of the picture: left, top, width, height."""
    left, top, right, bottom = photo.crop
    return [
        left / photo.width,
        top / photo.height,
        (right - left) / photo.width,
        (bottom - top) / photo.height,
    ]
