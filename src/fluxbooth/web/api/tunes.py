"""Routes of tunes."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract import queries, response_models, responses
from fluxbooth.service.contract.forms import TuneForm, TunePatch
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import Invalid
from fluxbooth.service.files import reserve
from fluxbooth.service.prompts import prompts
from fluxbooth.service.safety import Judge
from fluxbooth.service.tunes import checks, tunes
from fluxbooth.web.http import idempotency, picture_checks, requests, training_progress
from fluxbooth.web.http.auth import Owner, Using
from fluxbooth.web.http.body import Upload
from fluxbooth.web.http.params import row_id

router = APIRouter()
MOST_TUNES_OFFSET = 200


@router.post(
    "/tunes",
    status_code=201,
    response_model=response_models.Tune,
    summary="Train a tune",
    openapi_extra=requests.body_of(TuneForm, "tune", files=True),
)
async def create_tune(request: Request, services: Using, account: Owner) -> Response:
    async with requests.body(request, services, "tune", requests.of_photos(services)) as (
        values,
        uploads,
    ):
        lora_file = values.pop("lora_file", None) or None
        if not isinstance(lora_file, Upload | None):
            raise Invalid({"lora_file": ["must be a file"]})
        form, judge = TuneForm.lenient(values), Judge(services.settings)

        async def look() -> None:
            await picture_checks.photos(
                services,
                account,
                uploads,
                lambda s, owner: tunes.check(
                    Context.of(services, s, owner), form, uploads, lora_file
                ),
                judge,
            )
            if lora_file:
                await asyncio.to_thread(checks.check_lora, services.settings, form, lora_file)

        def work(session: Session, owner: Account) -> response_models.Tune:
            tune = tunes.create(
                Context.of(services, session, owner),
                form,
                uploads,
                lora_file,
            )
            judge.tell(tune)
            shown = responses.tune(tune, services.settings, services.sign)
            if form.prompts_attributes:
                made = prompts.listed(
                    session,
                    owner,
                    limit=queries.MOST,
                    offset=0,
                    before=None,
                    tune_id=tune.id,
                    text=None,
                    liked=None,
                )
                shown["prompts"] = [
                    responses.prompt(prompt, services.settings, services.sign)
                    for prompt in reversed(made)
                ]
            return shown

        return await idempotency.answer_once(request, services, account, values, work, look)


@router.get("/tunes", summary="List tunes, newest first", response_model=list[response_models.Tune])
async def list_tunes(
    request: Request, services: Using, asked: Annotated[queries.TuneList, Query()]
) -> Response:
    page = asked.rows(MOST_TUNES_OFFSET)

    def work(session: Session, account: Account) -> list[response_models.Tune]:
        rows = tunes.listed(
            session,
            account,
            **page,
            title=asked.title,
            names=[name for name in (*asked.name, *asked.names) if name],
            model_type=asked.model_type,
            branch=asked.branch,
        )
        return [responses.tune(row, services.settings, services.sign) for row in rows]

    return await requests.read_json(request, services, work)


@router.get("/tunes/{number}", summary="Get a tune", response_model=response_models.Tune)
async def get_tune(number: str, request: Request, services: Using) -> Response:
    wanted = row_id(number)

    def work(session: Session, account: Account) -> response_models.Tune:
        if wanted in services.settings.bases:
            return responses.public_tune(wanted, services.settings)
        return responses.tune(tunes.get(session, account, wanted), services.settings, services.sign)

    return await requests.read_json(request, services, work)


@router.patch(
    "/tunes/{number}",
    summary="Change title, name or characteristics",
    openapi_extra=requests.body_of(TunePatch, "tune"),
)
async def change_tune(
    number: str, request: Request, services: Using, account: Owner
) -> response_models.Tune:
    async with requests.body(request, services, "tune") as (values, _):
        patch = TunePatch.read(values)

    def work() -> response_models.Tune:
        with services.db.write() as session:
            return responses.tune(
                tunes.change(session, account, row_id(number), patch),
                services.settings,
                services.sign,
            )

    return await asyncio.to_thread(work)


@router.delete("/tunes/{number}", summary="Delete a tune, its photos and its LoRA")
def delete_tune(
    number: str, services: Using, account: Owner, asked: Annotated[queries.TuneDeletion, Query()]
) -> response_models.Deleted:
    wanted = row_id(number)
    reserve.delete(
        services.db,
        services.store,
        lambda session: tunes.delete(
            session, services.jobs, account, wanted, with_prompts=bool(asked.delete_prompts)
        ),
    )
    return {"message": "Tune successfully deleted"}


@router.post("/tunes/{number}/cancel", summary="End a training that is queued or under way")
def cancel_tune(number: str, services: Using, account: Owner) -> response_models.Tune:
    with services.db.write() as session:
        tune = tunes.cancel(session, services.jobs, account, row_id(number))
        return responses.tune(tune, services.settings, services.sign)


@router.get(
    "/tunes/{number}/progress",
    summary="How far a training is",
    response_model=response_models.Progress,
)
async def progress(number: str, request: Request, services: Using, account: Owner) -> Response:
    """`Accept: text/event-stream` gives an event for each change, until the training is over or
    the server stops."""
    return await training_progress.answer(number, request, services, account)
