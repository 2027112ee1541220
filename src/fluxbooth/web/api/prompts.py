"""Routes of prompts and their likes: the public API, for clients that know nothing of us."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract import queries, response_models, responses
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import FIRST_TUNE, Account, now
from fluxbooth.service.files import reserve
from fluxbooth.service.packs import packs
from fluxbooth.service.prompts import checks, input_images, prompts, templates
from fluxbooth.service.tunes import tunes
from fluxbooth.web.http import idempotency, picture_checks, requests
from fluxbooth.web.http.auth import Owner, Using
from fluxbooth.web.http.limits import of_pictures
from fluxbooth.web.http.params import row_id
from fluxbooth.web.state import Services

router = APIRouter()
MOST_PROMPTS_OFFSET = 10000


@router.post(
    "/tunes/{number}/prompts",
    status_code=201,
    response_model=response_models.Prompt,
    summary="Draw",
    openapi_extra=requests.body_of(PromptForm, "prompt"),
)
async def create_prompt(number: str, request: Request, services: Using, account: Owner) -> Response:
    return await _create_prompt(request, services, account, number)


@router.post(
    "/prompts",
    status_code=201,
    response_model=response_models.Prompt,
    summary="Draw on prompt[tune_id]",
    openapi_extra=requests.body_of(PromptForm, "prompt"),
)
async def create_top_prompt(request: Request, services: Using, account: Owner) -> Response:
    return await _create_prompt(request, services, account, None)


async def _create_prompt(
    request: Request, services: Services, account: Account, number: str | None
) -> Response:
    limits = of_pictures(services.settings.image_mb)
    async with (
        requests.body(request, services, "prompt", limits) as (values, _),
        picture_checks.started() as start,
    ):
        given = input_images.given(values)
        form = PromptForm.lenient(values)
        target = (
            row_id(number) if number is not None else form.tune_id or services.settings.own_number
        )
        told = values | await asyncio.to_thread(input_images.digests, given)

        async def look() -> None:
            await picture_checks.take(
                services,
                account,
                given,
                start,
                lambda s, owner: checks.fits(
                    Context.of(services, s, owner),
                    form,
                    target=target,
                    pictures=input_images.named(given),
                ),
            )

        def work(session: Session, owner: Account) -> response_models.Prompt:
            made = prompts.create(
                Context.of(services, session, owner), form, target=target, start=start
            )
            return responses.prompt(made, services.settings, services.sign)

        return await idempotency.answer_once(request, services, account, told, work, look)


@router.get(
    "/prompts", summary="List prompts, newest first", response_model=list[response_models.Prompt]
)
async def list_prompts(
    request: Request, services: Using, asked: Annotated[queries.PromptList, Query()]
) -> Response:
    return await _listed(request, services, asked, asked.tune_id)


@router.get(
    "/tunes/{number}/prompts",
    summary="List the prompts on a base, or those that use a tune",
    response_model=list[response_models.Prompt],
)
async def list_tune_prompts(
    number: str,
    request: Request,
    services: Using,
    asked: Annotated[queries.TunePromptList, Query()],
) -> Response:
    return await _listed(request, services, asked, row_id(number), of_tune=True)


async def _listed(
    request: Request,
    services: Services,
    asked: queries.TunePromptList,
    tune_id: int | None,
    *,
    of_tune: bool = False,
) -> Response:
    page = asked.rows(MOST_PROMPTS_OFFSET)
    since = now().replace(hour=0, minute=0, second=0, microsecond=0) if asked.today else None

    def work(session: Session, account: Account) -> list[response_models.Prompt]:
        if of_tune and tune_id is not None and tune_id >= FIRST_TUNE:
            tunes.get(session, account, tune_id)  # of somebody else, or of nobody: not found
        rows = prompts.listed(
            session,
            account,
            **page,
            tune_id=tune_id,
            text=asked.text,
            liked=asked.liked,
            since=since,
            equal={
                name: getattr(asked, name)
                for name in ("pack_id", "base_pack_id", "orig_prompt_id", "order_id", "user_id")
            },
        )
        return [
            responses.prompt(row, services.settings, services.sign)
            for row in rows
            if not asked.is_video
        ]

    return await requests.read_json(request, services, work)


@router.get("/prompts/{number}", summary="Get a prompt", response_model=response_models.Prompt)
@router.get(
    "/tunes/{tune}/prompts/{number}",
    summary="Get a prompt",
    response_model=response_models.Prompt,
    operation_id="get_tune_prompt",
)
async def get_prompt(number: str, request: Request, services: Using) -> Response:
    wanted = row_id(number)

    def work(session: Session, account: Account) -> response_models.Prompt:
        return responses.prompt(
            prompts.get(session, account, wanted), services.settings, services.sign
        )

    return await requests.read_json(request, services, work)


@router.patch(
    "/prompts/{number}",
    summary="Make it a template of a pack, by pack_id, or one made from a pack, by base_pack_id",
)
@router.patch(
    "/tunes/{tune}/prompts/{number}",
    summary="As PATCH /prompts/{number}",
    operation_id="change_tune_prompt",
)
async def change_prompt(
    number: str, request: Request, services: Using, account: Owner
) -> response_models.Prompt:
    async with requests.body(request, services, "prompt") as (values, _):
        form = PromptForm.read({name: values.get(name) for name in ("pack_id", "base_pack_id")})

    def work() -> response_models.Prompt:
        with services.db.write() as session:
            prompt = prompts.get(session, account, row_id(number))
            if "pack_id" in values:
                templates.attach(session, account, prompt, form.pack_id)
            if "base_pack_id" in values:
                templates.belongs(session, account, prompt, form.base_pack_id)
            session.flush()
            return responses.prompt(prompt, services.settings, services.sign)

    return await asyncio.to_thread(work)


@router.delete("/prompts/{number}", summary="Delete a prompt and its pictures")
@router.delete(
    "/tunes/{tune}/prompts/{number}",
    summary="Delete a prompt and its pictures",
    operation_id="delete_tune_prompt",
)
def delete_prompt(number: str, services: Using, account: Owner) -> response_models.Deleted:
    wanted = row_id(number)
    reserve.delete(
        services.db,
        services.store,
        lambda session: prompts.delete(session, services.jobs, account, wanted),
    )
    return {"message": "Prompt successfully deleted"}


@router.post(
    "/prompts/{number}/duplicate",
    status_code=201,
    response_model=response_models.Prompt,
    summary="Draw again, with changes",
)
async def duplicate_prompt(
    number: str, request: Request, services: Using, account: Owner
) -> Response:
    """`image_index`, beside `prompt`, says from which of its pictures to start: 0 is the first."""
    async with requests.body(request, services, "prompt", beside="image_index") as (values, _):

        def work(session: Session, owner: Account) -> response_models.Prompt:
            made = prompts.duplicate(Context.of(services, session, owner), row_id(number), values)
            return responses.prompt(made, services.settings, services.sign)

        return await idempotency.answer_once(request, services, account, values, work)


@router.post("/prompts/{number}/likes", status_code=201, summary="Like", response_model=None)
@router.delete(
    "/prompts/{number}/likes",
    status_code=201,
    summary="Like no more",
    response_model=None,
    operation_id="unlike_prompt",
)
@router.delete(
    "/prompts/{number}/like",
    status_code=201,
    summary="Like no more",
    response_model=None,
    operation_id="unlike_prompt_2",
)
def like(number: str, request: Request, services: Using, account: Owner) -> Response:
    return _liked(services, account, number, lambda before: request.method == "POST", 201)


@router.post("/prompts/{number}/like", summary="Like, or like no more", response_model=None)
def toggle_like(number: str, services: Using, account: Owner) -> Response:
    return _liked(services, account, number, lambda before: not before, 200)


def _liked(
    services: Services, account: Account, number: str, change: Callable[[bool], bool], status: int
) -> Response:
    with services.db.write() as session:
        prompt = prompts.get(session, account, row_id(number))
        packs.like(session, prompt, change(prompt.liked))
    return Response(status_code=status)
