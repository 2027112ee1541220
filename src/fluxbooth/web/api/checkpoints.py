"""The checkpoints of a training, and trainings that go on (ours: no other server has these
routes)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract import response_models, responses
from fluxbooth.service.contract.forms import MoreForm
from fluxbooth.service.db.tables import Account
from fluxbooth.service.tunes import checkpoints, tunes
from fluxbooth.service.tunes.train_more import more
from fluxbooth.web.http import idempotency, reports, requests
from fluxbooth.web.http.auth import Owner, Using
from fluxbooth.web.http.params import row_id

router = APIRouter()


@router.get(
    "/tunes/{number}/checkpoints",
    summary="What a training was on its way, with what it drew there",
    response_model=list[response_models.Checkpoint],
)
async def list_checkpoints(number: str, request: Request, services: Using) -> Response:
    def work(session: Session, account: Account) -> list[response_models.Checkpoint]:
        tune = tunes.get(session, account, row_id(number))
        return [
            responses.checkpoint(row, tune, services.settings, services.sign)
            for row in checkpoints.of(session, tune)
        ]

    return await requests.read_json(request, services, work)


@router.get(
    "/tunes/{number}/report",
    summary="The page that a training made of itself",
    response_class=HTMLResponse,
)
def report(number: str, services: Using, account: Owner) -> FileResponse:
    with services.db.read() as session:
        key = checkpoints.report(session, account, row_id(number))
    return reports.answer(services.store, key)


@router.post(
    "/tunes/{number}/checkpoints/{step}/choose", summary="Make the LoRA of a step the tune's"
)
def choose_checkpoint(
    number: str, step: str, services: Using, account: Owner
) -> response_models.Tune:
    with services.db.write() as session:
        tune = checkpoints.promote(session, account, row_id(number), row_id(step))
        return responses.tune(tune, services.settings, services.sign)


@router.post(
    "/tunes/{number}/more",
    status_code=201,
    response_model=response_models.Tune,
    summary="Train more: a new tune that goes on from this one",
    openapi_extra=requests.body_of(MoreForm, "tune"),
)
async def train_more(number: str, request: Request, services: Using, account: Owner) -> Response:
    async with requests.body(request, services, "tune") as (values, _):
        form = MoreForm.read(values)

        def work(session: Session, owner: Account) -> response_models.Tune:
            context = Context.of(services, session, owner)
            made = more(context, row_id(number), form)
            return responses.tune(made, services.settings, services.sign)

        return await idempotency.answer_once(request, services, account, values, work)
