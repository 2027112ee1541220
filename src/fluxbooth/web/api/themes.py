"""POST /themes: ten prompts for each tune."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract import response_models
from fluxbooth.service.contract.forms import ThemeForm
from fluxbooth.service.db.tables import Account
from fluxbooth.service.themes import themes
from fluxbooth.web.http import idempotency, requests, theme_drafts
from fluxbooth.web.http.auth import Owner, Using

router = APIRouter()


@router.post(
    "/themes",
    status_code=201,
    response_model=response_models.Theme,
    responses={
        200: {"model": response_models.Theme, "description": "Drafts, if `draft` was asked for"}
    },
    summary="Have ten prompts written for each tune",
    openapi_extra=requests.body_of(ThemeForm, "theme"),
)
async def create_theme(request: Request, services: Using, account: Owner) -> Response:
    """`draft=true` returns them instead of drawing them."""
    async with requests.body(request, services, "theme") as (values, _):
        form = ThemeForm.read(values)

    written: list[themes.Written] = []

    async def write() -> None:
        written.extend(await theme_drafts.drafted(services, account, form))

    def work(session: Session, owner: Account) -> response_models.Theme:
        answer: response_models.Theme = {"theme_writer": written[0].writer}
        if form.draft:
            answer["prompts"] = [
                {"tune_id": one.tune_id, "text": text} for one in written for text in one.texts
            ]
            return answer
        themes.create(Context.of(services, session, owner), form, written)
        return answer

    return await idempotency.answer_once(
        request, services, account, values, work, write, 200 if form.draft else 201
    )
