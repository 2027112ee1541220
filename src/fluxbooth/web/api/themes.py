"""POST /themes: ten prompts for each tune."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import ThemeForm
from fluxbooth.service.db.tables import Account, Tune
from fluxbooth.service.themes import theme as themes
from fluxbooth.types import Json
from fluxbooth.web.http import idempotency, requests
from fluxbooth.web.http.auth import Owner, Using
from fluxbooth.web.state import Services

router = APIRouter()
WRITING = asyncio.Semaphore(4)  # themes written at once: each may hold threads for many seconds


@router.post(
    "/themes",
    status_code=201,
    summary="Have ten prompts written for each tune",
    openapi_extra=requests.body_of(ThemeForm, "theme"),
)
async def create_theme(request: Request, services: Using, account: Owner) -> Response:
    """`draft=true` returns them instead of drawing them."""
    async with requests.body(request, services, "theme") as (values, _):
        form = ThemeForm.read(values)

    written: list[themes.Written] = []

    async def write() -> None:
        written.extend(await drafted(services, account, form))

    def work(session: Session, owner: Account) -> Json:
        answer: Json = {"theme_writer": written[0].writer}
        if form.draft:
            return answer | {
                "prompts": [
                    {"tune_id": one.tune_id, "text": text} for one in written for text in one.texts
                ]
            }
        themes.create(Context.of(services, session, owner), form, written)
        return answer

    return await idempotency.answer_once(
        request, services, account, values, work, write, 200 if form.draft else 201
    )


async def drafted(services: Services, account: Account, form: ThemeForm) -> list[themes.Written]:
    """What is written for a theme; nothing is drawn of it yet, and nothing is kept."""

    def look() -> list[Tune]:
        with services.db.read() as session:
            return themes.subjects(session, services.settings, account, form)

    found = await asyncio.to_thread(look)
    async with WRITING:
        return await asyncio.to_thread(themes.write, services.settings, form, found)
