"""Routes beside tunes and prompts: the bases, the account, the state of the server."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxbooth.service.accounts import accounts
from fluxbooth.service.billing import ledger
from fluxbooth.service.contract import public_bases, queries, response_models, responses
from fluxbooth.service.contract.forms import AccountPatch
from fluxbooth.service.db.tables import Account, Prompt, Tune
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.settings import Settings
from fluxbooth.web.http import metrics, requests
from fluxbooth.web.http.auth import Owner, Using, the_account

router = APIRouter()
NOT_READY = {
    "silent": "The engine of this server is silent: if that lasts, it is started anew.",
    "stopped": "The engine of this server does not run: its log says why.",
}


@router.get("/gallery/tunes", summary="The bases")
def gallery_tunes(
    services: Using, asked: Annotated[queries.BaseList, Query()]
) -> list[response_models.Tune]:
    title = (asked.title or "").lower()
    limit = asked.rows(200)["limit"]
    rows = [responses.public_tune(number, services.settings) for number in services.settings.bases]
    # a base is a checkpoint: it has no model type
    return [
        row
        for row in rows
        if title in row["title"].lower()
        and asked.branch in (None, "", row["branch"])
        and not asked.model_type
    ][:limit]


@router.get("/gallery", summary="Public prompts: none yet", operation_id="gallery")
@router.get("/workspaces", summary="Workspaces: not offered", operation_id="workspaces")
def nothing() -> list[response_models.Prompt]:
    return []


@router.get("/users", summary="The account")
def user(services: Using, account: Owner) -> response_models.User:
    with services.db.read() as session:
        return _user(session, account)


@router.patch(
    "/users",
    summary="Change the account's options",
    openapi_extra=requests.body_of(AccountPatch, "user"),
)
async def change_user(request: Request, services: Using, account: Owner) -> response_models.User:
    """`idempotent`: a tune of the same title, or the same prompt, is the one that is there.
    `auto_extend_tunes`: new tunes stay.
    `face_crop`: new tunes also learn from close-ups of faces, unless they say otherwise.
    """
    async with requests.body(request, services, "user") as (values, _):
        patch = AccountPatch.read(values)

    def work() -> response_models.User:
        with services.db.write() as session:
            owner = session.get_one(Account, account.id)
            owner.idempotent = owner.idempotent if patch.idempotent is None else patch.idempotent
            owner.auto_extend = (
                owner.auto_extend if patch.auto_extend_tunes is None else patch.auto_extend_tunes
            )
            owner.face_crop = owner.face_crop if patch.face_crop is None else patch.face_crop
            return _user(session, owner)

    return await asyncio.to_thread(work)


def _user(session: Session, account: Account) -> response_models.User:
    return {
        "id": account.id,
        "name": account.name,
        "email": None,
        "usd_balance_mc": ledger.balance(session, account.id),
        "auto_extend_tunes": account.auto_extend,
        "top_off_amount": None,
        "purchased_plugin_at": None,
        "idempotent": account.idempotent,
        "face_crop": account.face_crop,
    }


@router.get(
    "/cli/models",
    summary="The catalogue that command-line clients read; needs no key",
    operation_id="models_cli_models_get",
)
def catalogue(services: Using) -> response_models.Catalogue:
    settings = services.settings
    keys = {number: _key(number, settings) for number in settings.bases}
    rows: dict[str, response_models.CatalogueModel] = {
        key: {
            "tune_id": number,
            "title": responses.title_of(number, settings),
            "resolutions": ["1K"],
            "default": number == settings.own_number,
        }
        for number, key in keys.items()
    }
    return {
        "default": keys[settings.own_number],
        "default_video_model": None,
        "cache_ttl": 86400,
        "models": rows,
        "video_models": {},
        "cli": {},
        "skills": {},
    }


def _key(number: int, settings: Settings) -> str:
    """What command-line clients call a base."""
    public = public_bases.PUBLIC.get(number)
    return public.key if public else responses.base_name(settings.base_of(number))


@router.get("/health", summary="The server runs")
def health() -> response_models.Health:
    return {"ok": True}


@router.get("/ready", summary="The database answers, and the engine does")
def ready(services: Using) -> response_models.Health:
    with services.db.read() as session:
        session.execute(select(1))
    if services.engine is not None and (state := services.engine()) != "runs":
        raise ServiceError(NOT_READY[state], 503)
    return {"ok": True}


@router.get("/metrics", summary="For Prometheus", response_model=None)
def prometheus(request: Request, services: Using) -> Response:
    if services.settings.metrics == "off":
        raise NotFound
    if services.settings.metrics == "key":
        asking = the_account(request, services)
        with services.db.read() as session:
            if not accounts.is_operator(session, asking):
                raise ServiceError(
                    (
                        "What all accounts do is the operator's to see: use a key of the first "
                        "account."
                    ),
                    403,
                )
    with services.db.read() as session:
        waiting = [
            session.scalar(select(func.count()).where(kind.is_open)) or 0 for kind in (Tune, Prompt)
        ]
    return Response(metrics.text(*waiting), media_type="text/plain; version=0.0.4")
