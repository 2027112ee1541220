"""What work would cost and take, asked before it is asked for (ours: no other server has these routes)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from fluxbooth.service import estimates, money, shapes
from fluxbooth.service.schemas import PromptForm
from fluxbooth.service.tables import Account
from fluxbooth.web import requests
from fluxbooth.web.requests import Owner, Using

router = APIRouter()
Json = dict[str, Any]


@router.get("/estimates/tune", summary="What a training on so many `photos` would cost and take")
def tune(request: Request, services: Using, account: Owner) -> Json:
    """The query is the fields of POST /tunes: preset, steps, branch, auto_extend."""
    found = estimates.plan(services.db, services.settings, dict(request.query_params), requests.number(request, "photos") or 0)
    return _shown(services, account, asdict(found))


@router.get("/estimates/prompt", summary="What a prompt would cost and take")
def prompt(request: Request, services: Using, account: Owner) -> Json:
    """The query is the fields of POST /prompts: tune_id, num_images, aspect_ratio, w, h, super_resolution and so on."""
    form = PromptForm.read(dict(request.query_params))
    with services.db.read() as session:
        found = estimates.drawing_plan(session, services.settings, account, form, form.tune_id or shapes.FLUX_DEV)
    return _shown(services, account, asdict(found))


def _shown(services: Using, account: Account, found: Json) -> Json:
    with services.db.read() as session:
        balance = money.balance(session, account.id)
    return {**found, "cost": money.cents(found["cost_mc"]), "usd_balance_mc": balance, "covered": found["cost_mc"] <= balance}
