"""The page Themes: a topic in a line becomes ten drafts, which can be edited and thrown away,
and then drawn."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from fluxbooth.prompts.language import MAX_CHARACTERS
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import ThemeForm
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.themes import themes
from fluxbooth.types import Json, is_list, is_object
from fluxbooth.web.http import idempotency
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.limits import MB, Limits
from fluxbooth.web.http.requests import read
from fluxbooth.web.http.theme_drafts import drafted
from fluxbooth.web.pages import once
from fluxbooth.web.pages.create import RATIOS
from fluxbooth.web.pages.gallery import usable_tunes
from fluxbooth.web.pages.login import Viewer, same_origin
from fluxbooth.web.pages.render import page, redirect, sentences
from fluxbooth.web.pages.texts import text
from fluxbooth.web.state import Services

BLANK = {"theme": "", "tune": "", "ratio": "1:1", "count": "1"}
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/themes")
def theme_page(request: Request, services: Using, account: Viewer) -> Response:
    values = {name: request.query_params.get(name, blank)[:1000] for name, blank in BLANK.items()}
    return _page(request, services, account, values)


@router.post("/themes/drafts")
async def write(request: Request, services: Using, account: Viewer) -> Response:
    """Ten drafts on the page; nothing is kept of them here."""
    values = await _values(request, services)
    try:
        (written,) = await drafted(
            services,
            account,
            ThemeForm.read({"theme": values["theme"], "tune_ids": [values["tune"]]}),
        )
    except ServiceError as error:
        return _page(
            request, services, account, values, errors=sentences(error), status=error.status
        )
    drafts = [{"text": said, "keep": "1"} for said in written.texts]
    return _page(request, services, account, values, drafts, written.writer, once.mark())


@router.post("/themes/run")
async def run(request: Request, services: Using, account: Viewer) -> Response:
    """Draws the drafts that are still ticked, as they read now."""
    values = await _values(request, services)
    drafts = _drafts(values)
    kept = [str(draft["text"]) for draft in drafts if draft["keep"]]
    writer, mark = str(values.get("writer") or ""), str(values.get("once") or "")

    def work(session: Session, owner: Account) -> Json:
        if not kept:
            raise ServiceError(text("themes.none"))
        changes = {"aspect_ratio": values["ratio"], "num_images": values["count"]}
        form = ThemeForm.read(
            {"theme": values["theme"], "tune_ids": [values["tune"]], "prompt_attributes": changes}
        )
        (tune,) = themes.subjects(session, services.settings, owner, form)
        written = themes.Written(
            tune.id,
            kept,
            themes.COMPOSER if writer == themes.COMPOSER else services.settings.theme_model,
        )
        themes.create(Context.of(services, session, owner), form, [written])
        return {"tune": tune.id}

    try:
        made = await idempotency.run_idempotent(services, account, _key(mark), "theme", work)
    except ServiceError as error:
        return _page(
            request, services, account, values, drafts, writer, mark, sentences(error), error.status
        )
    return redirect(f"/app/create?tune={made['tune']}#results")


@router.post("/themes/kept")
async def kept(request: Request, services: Using, account: Viewer) -> Response:
    """The page with drafts that a browser kept; without them if they were drawn meanwhile."""
    values = await _values(request, services)
    writer, mark = str(values.get("writer") or ""), str(values.get("once") or "")
    with services.db.read() as session:
        drawn = idempotency.is_answered(session, account, _key(mark))
    return _page(
        request, services, account, values, None if drawn else _drafts(values), writer, mark
    )


def _drafts(values: Json) -> list[Json]:
    given = values.get("draft")
    rows = [row for row in given if is_object(row)] if is_list(given) else []
    return [
        {"text": str(row.get("text", ""))[:MAX_CHARACTERS], "keep": bool(row.get("keep"))}
        for row in rows
    ]


def _key(mark: str) -> str:
    return f"theme-{mark}"[:200]


async def _values(request: Request, services: Services) -> Json:
    # ten long drafts, in any script
    whole = await read(request, services, Limits(files=0, request=MB))
    return {**whole, **{name: str(whole.get(name) or blank) for name, blank in BLANK.items()}}


def _page(
    request: Request,
    services: Services,
    account: Account,
    values: Json,
    drafts: list[Json] | None = None,
    writer: str = "",
    mark: str = "",
    errors: list[str] | None = None,
    status: int = 200,
) -> Response:
    with services.db.read() as session:
        usable = [tune for tune in usable_tunes(session, account) if tune["model_type"] == "lora"]
    chosen = next((tune["id"] for tune in usable if str(tune["id"]) == values["tune"]), None)
    closed = (
        None
        if services.settings.anthropic_api_key or services.settings.theme_composer
        else themes.NO_KEY
    )
    return page(
        request,
        "themes.html",
        status,
        title=text("themes.title"),
        values=values,
        tunes=usable,
        chosen=chosen,
        drafts=drafts or [],
        writer=writer,
        once=mark,
        errors=errors or [],
        ratios=RATIOS,
        closed=closed,
        composer=themes.COMPOSER,
    )
