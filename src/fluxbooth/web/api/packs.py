"""The routes of packs. Public ones may be looked at without a key."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract import queries, response_models, responses
from fluxbooth.service.contract.forms import BLANK, PackForm, TuneForm
from fluxbooth.service.db.tables import Account
from fluxbooth.service.packs import packs
from fluxbooth.service.safety import Judge
from fluxbooth.web.http import idempotency, picture_checks, requests
from fluxbooth.web.http.auth import Owner, Using, the_account

router = APIRouter()
MOST_OFFSET = 10_000


def the_visitor(request: Request, services: Using) -> Account | None:
    return the_account(request, services) if "authorization" in request.headers else None


Visitor = Annotated[Account | None, Depends(the_visitor)]


@router.get("/gallery/packs", summary="Public packs; needs no key")
def gallery(services: Using, asked: Annotated[queries.Page, Query()]) -> list[response_models.Pack]:
    with services.db.read() as session:
        rows = packs.listed(session, None, **asked.rows(MOST_OFFSET), public=True, listed=True)
        return [packs.shape(session, pack, services.settings) for pack in rows]


@router.get("/packs", summary="List packs, newest first")
def list_packs(
    services: Using, account: Owner, asked: Annotated[queries.PackList, Query()]
) -> list[response_models.Pack]:
    with services.db.read() as session:
        rows = packs.listed(
            session,
            account,
            **asked.rows(MOST_OFFSET),
            public=bool(asked.public),
            listed=bool(asked.listed),
        )
        return [packs.shape(session, pack, services.settings) for pack in rows]


@router.post(
    "/packs",
    status_code=201,
    response_model=response_models.Pack,
    summary="Create a pack",
    openapi_extra=requests.body_of(PackForm, "pack"),
)
async def create_pack(request: Request, services: Using, account: Owner) -> Response:
    async with requests.body(request, services, "pack") as (values, _):
        form = PackForm.read(values)

        def work(session: Session, owner: Account) -> response_models.Pack:
            return packs.shape(
                session, packs.create(session, services.settings, owner, form), services.settings
            )

        return await idempotency.answer_once(request, services, account, values, work)


@router.get("/packs/{name}", summary="Get a pack by id or slug")
@router.get("/p/{name}", summary="Get a pack by id or slug", operation_id="get_p")
def get_pack(name: str, services: Using, account: Visitor) -> response_models.Pack:
    with services.db.read() as session:
        return packs.shape(session, packs.get(session, account, name), services.settings)


@router.post(
    "/p/{name}/tunes",
    status_code=201,
    response_model=response_models.Tune | response_models.PackDrawn,
    summary="Run a pack on photos, or on tunes",
    openapi_extra=requests.body_of(TuneForm, "tune", files=True),
)
async def run_pack(name: str, request: Request, services: Using, account: Owner) -> Response:
    """With `tune_ids`, prompts alone are made; else a tune is trained on the photos first."""
    async with requests.body(request, services, "tune", requests.of_photos(services)) as (
        values,
        uploads,
    ):
        on_tunes = values.get("tune_ids") not in (*BLANK, [])
        judge = Judge(services.settings)

        async def look() -> None:
            if not on_tunes:
                await picture_checks.photos(services, account, uploads, fits, judge)

        def fits(session: Session, owner: Account) -> None:
            packs.check_training(
                Context.of(services, session, owner),
                packs.get(session, owner, name),
                values,
                uploads,
            )

        def work(
            session: Session, owner: Account
        ) -> response_models.Tune | response_models.PackDrawn:
            pack = packs.get(session, owner, name)
            if on_tunes:
                return packs.draw(Context.of(services, session, owner), pack, values)
            tune = packs.train(
                Context.of(services, session, owner),
                pack,
                values,
                uploads,
            )
            judge.tell(tune)
            return responses.tune(tune, services.settings, services.sign)

        return await idempotency.answer_once(request, services, account, values, work, look)
