"""The page Create: words, the tunes that they are drawn with, a picture to start from; advice
and cost before anything is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Container

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from sqlalchemy.orm import Session

from fluxbooth.prompts import language
from fluxbooth.service import estimates
from fluxbooth.service.billing.ledger import dollars
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.prompts import checks, input_images, pictures, prompts
from fluxbooth.service.tunes import tunes
from fluxbooth.specs import ASPECT_RATIOS
from fluxbooth.types import Json, is_list
from fluxbooth.web.http import body, params, picture_checks, requests
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.idempotency import Answer
from fluxbooth.web.http.limits import of_pictures
from fluxbooth.web.http.params import row_id
from fluxbooth.web.pages import once, view_models
from fluxbooth.web.pages.gallery import new_card, usable_tunes
from fluxbooth.web.pages.login import PartViewer, Viewer, same_origin
from fluxbooth.web.pages.render import page, sentences, wants_part
from fluxbooth.web.pages.texts import duration, plain, text
from fluxbooth.web.state import Services

RECENT, STRENGTH, MOST_TIMES = 12, "0.8", 1000
RATIOS = ("1:1", "3:4", "2:3", "9:16", "4:3", "3:2", "16:9")
WEIGHTS = ("0.4", "0.6", "0.8", "1", "1.2", "1.4")
BLANK = {
    "text": "", "ratio": "1:1", "count": "1", "seed": "", "from": "", "strength": STRENGTH,
    "how": "",
}  # fmt: skip
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/create")
def create_page(request: Request, services: Using, account: Viewer) -> Response:
    values = {
        name: request.query_params.get(name, blank)[: language.MAX_CHARACTERS]
        for name, blank in BLANK.items()
    }
    return _form(
        request, services, account, values | {"tunes": request.query_params.getlist("tune")}, []
    )


@router.post("/prompts")
async def create_prompt(request: Request, services: Using, account: Viewer) -> Response:
    """Draws. A script gets the card of the new prompt, a plain form the page with it."""
    whole = await requests.read(request, services, of_pictures(services.settings.image_mb))
    values = {name: str(whole.get(name) or blank) for name, blank in BLANK.items()} | {
        "tunes": _tunes(whole)
    }
    try:
        given = {
            name: whole[name] for name in input_images.NAMES if getattr(whole.get(name), "size", 0)
        }
        form, target = await asyncio.to_thread(_read, services, account, values, given)
        async with picture_checks.started() as start:
            await picture_checks.take(
                services,
                account,
                given,
                start,
                lambda s, owner: checks.fits(
                    Context.of(services, s, owner), form, target=target, pictures=given
                ),
            )
            sent = {**values, "once": str(whole.get("once") or "")}
            made = await asyncio.to_thread(_create, request, services, account, sent, start)
    except ServiceError as error:
        if wants_part(request):
            return JSONResponse({"errors": sentences(error)}, error.status)
        return await asyncio.to_thread(
            _form, request, services, account, values, sentences(error), error.status
        )
    finally:
        await asyncio.to_thread(body.discard, whole)
    first = values["tunes"][0].partition(":")[0] if values["tunes"] else ""
    return await asyncio.to_thread(
        new_card, request, services, account, made["id"], f"/app/create?tune={first}"
    )


def _create(
    request: Request,
    services: Services,
    account: Account,
    values: Json,
    start: input_images.Inputs,
) -> Answer:
    def work(session: Session, owner: Account) -> Json:
        given = start
        if values["from"] and "input_image" not in start:
            row, _ = pictures.get(session, owner, values["from"])
            given = input_images.Inputs(
                start.files | input_images.of_file(services.store, row.key).files
            )
        form, target = _asked(session, services, owner, values, given)
        context = Context.of(services, session, owner)
        return {"id": prompts.create(context, form, target=target, start=given).id}

    sent = {**values, "pictures": start.digests()}
    return once.made_once(services, account, request.url.path, sent, work)


def _read(
    services: Services, account: Account, values: Json, given: Container[str]
) -> tuple[PromptForm, int]:
    with services.db.read() as session:
        return _asked(session, services, account, values, given)


def _asked(
    session: Session, services: Services, account: Account, values: Json, pictures: Container[str]
) -> tuple[PromptForm, int]:
    """What the form asks for in the contract's words, and the base or tune that it is asked of."""
    named = [tune.partition(":") for tune in values["tunes"]]
    used = [(tunes.get(session, account, row_id(n)), weight or "1") for n, _, weight in named]
    tags = "".join(f"<{tune.model_type}:{tune.id}:{weight}> " for tune, weight in used)
    fields = {
        "text": tags + values["text"] if values["text"].strip() else "",
        "num_images": values["count"],
        "seed": values["seed"],
    }
    if "input_image" in pictures and (values["how"] != "edit" or "mask_image" in pictures):
        fields["denoising_strength"] = values["strength"]
    if values["ratio"] != "as-is":
        fields["aspect_ratio"] = values["ratio"]
    return PromptForm.read(fields), used[0][0].id if used else services.settings.own_number


def _tunes(whole: Json) -> list[str]:
    """ID or ID:WEIGHT of each tune: the chips of a script, or what a plain form chose."""
    chips, plain = whole.get("tunes"), whole.get("tune")
    given = chips if is_list(chips) else plain if is_list(plain) else [plain]
    return [str(tune) for tune in given if tune]


def _chosen(usable: list[Json], tunes: list[str]) -> list[tuple[Json, str]]:
    """The tunes that are named as `_tunes` has them, each with its weight."""
    known = {str(row["id"]): row for row in usable}
    named = (tune.partition(":") for tune in tunes)
    return [(known[number], weight or "1") for number, _, weight in named if number in known]


def _form(
    request: Request,
    services: Using,
    account: Account,
    values: Json,
    errors: list[str],
    status: int = 200,
) -> Response:
    with services.db.read() as session:
        usable = usable_tunes(session, account)
        chosen = _chosen(usable, values["tunes"])
        first = chosen[0][0] if chosen else None
        recent = prompts.listed(
            session,
            account,
            limit=RECENT,
            offset=0,
            before=None,
            tune_id=first["id"] if first else None,
            text=None,
            liked=None,
        )
        shown = [view_models.prompt(row) for row in recent]
        start = (
            view_models.image(*pictures.get(session, account, values["from"]))
            if values["from"]
            else None
        )
        planned = _first_plan(session, services, account, values)
    values["text"] = values["text"] or (f"{first['trigger']} " if first else "")
    rare = values["ratio"] in ASPECT_RATIOS and values["ratio"] not in RATIOS
    ratios = (*RATIOS, values["ratio"]) if rare else RATIOS
    return page(
        request,
        "create.html",
        status,
        title=text("create.title"),
        tunes=usable,
        chosen=chosen,
        values=values,
        errors=errors,
        once=once.mark(),
        ratios=[(ratio, *_box(ratio)) for ratio in ratios],
        prompts=shown,
        start=start,
        plan=planned,
        weights=WEIGHTS,
        references=services.settings.references,
    )


def _box(ratio: str) -> tuple[float, float]:
    """Width and height of the shape that stands for an aspect ratio, the longer side 22."""
    wide, high = (int(side) for side in ratio.split(":"))
    return round(22 * wide / max(wide, high), 1), round(22 * high / max(wide, high), 1)


@router.get("/prompts/plan")
def plan(request: Request, services: Using, account: PartViewer) -> Json:
    """What a prompt would take, for the form as it stands."""
    asked: Json = {name: request.query_params.get(name) or blank for name, blank in BLANK.items()}
    asked["tunes"] = request.query_params.getlist("tune")
    times = min(params.number(request, "times") or 1, MOST_TIMES)
    with services.db.read() as session:
        return {"words": _planned(session, services, account, asked, times)}


def _planned(
    session: Session, services: Services, account: Account, asked: Json, times: int = 1
) -> list[str]:
    """Raises ServiceError for a form that will not do."""
    form, target = _asked(session, services, account, {**asked, "text": "a"}, ())
    found = estimates.drawing_plan(session, services.settings, account, form, target)
    return plan_words(found, times)


def _first_plan(session: Session, services: Services, account: Account, values: Json) -> list[str]:
    """For the form before a script asks; nothing where its fields will not do, which is told when
    it is sent."""
    try:
        return _planned(session, services, account, {**BLANK, **values})
    except ServiceError:
        return []


def plan_words(found: estimates.DrawingPlan, times: int = 1) -> list[str]:
    """In sentences, of so many prompts of the kind."""
    pictures = times * found.pictures
    lines = [text("create.plan.one" if pictures == 1 else "create.plan", pictures=pictures)]
    how = "new.plan.time" if found.measured else "new.plan.guess"
    lines.append(text(how, time=duration(times * found.seconds)))
    if found.cost_mc:
        lines.append(text("new.plan.cost", amount=dollars(times * found.cost_mc)))
    if found.waiting:
        lines.append(text("create.plan.queue", jobs=found.waiting))
    if found.waits_seconds:
        lines.append(text("create.plan.training", time=duration(found.waits_seconds)))
    return lines


@router.post("/advice")
async def advice(request: Request, services: Using, account: PartViewer) -> Json:
    """What the prompt language says about a text as it is typed, for the tunes it is drawn with."""
    sent = await requests.read(request, services)
    return await asyncio.to_thread(
        _advice, services, account, str(sent.get("text") or ""), _tunes(sent)
    )


def _advice(services: Services, account: Account, text: str, used: list[str]) -> Json:
    with services.db.read() as session:
        triggers = [_trigger(session, account, number.partition(":")[0]) for number in used]
    if not text.strip():
        return {"advice": []}
    said = [
        language.advise(text[: language.MAX_CHARACTERS], trigger) for trigger in triggers or [None]
    ]
    # only one of them can come first
    others = [item for found in said[1:] for item in found if item.code == "trigger_missing"]
    shown = [item.to_json() for item in (*others, *said[0])]
    return {"advice": [item | {"message": plain(str(item["message"]))} for item in shown]}


def _trigger(session: Session, account: Account, number: str) -> str:
    row = tunes.get(session, account, row_id(number))
    return language.trigger_words(row.token or "", row.name)
