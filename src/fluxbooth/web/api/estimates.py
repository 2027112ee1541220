"""Routes that estimate price and time of work before it is asked for (ours: no other server has
them)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from fluxbooth.service import estimates
from fluxbooth.service.billing import ledger
from fluxbooth.service.contract import queries, response_models
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Account
from fluxbooth.types import Json
from fluxbooth.web.http.auth import Owner, Using

router = APIRouter()


@router.get("/estimates/tune", summary="What a training on so many `photos` would cost and take")
def tune(
    services: Using, account: Owner, asked: Annotated[queries.TrainingPlan, Query()]
) -> response_models.TuneEstimate:
    """The query is the fields of POST /tunes: preset, steps, branch, auto_extend."""
    found = estimates.plan(
        services.db,
        services.settings,
        asked.model_dump(),
        asked.photos or 0,
    )
    return _shown(services, account, asdict(found))


@router.get("/estimates/prompt", summary="What a prompt would cost and take")
def prompt(request: Request, services: Using, account: Owner) -> response_models.PromptEstimate:
    """The query is the fields of POST /prompts: tune_id, num_images, aspect_ratio, w, h,
    super_resolution and so on."""
    form = PromptForm.read(dict(request.query_params))
    with services.db.read() as session:
        found = estimates.drawing_plan(
            session, services.settings, account, form, form.tune_id or services.settings.own_number
        )
    return _shown(services, account, asdict(found))


def _shown(services: Using, account: Account, found: Json) -> Any:
    with services.db.read() as session:
        balance = ledger.balance(session, account.id)
    return {
        **found,
        "cost": ledger.cents(found["cost_mc"]),
        "usd_balance_mc": balance,
        "covered": found["cost_mc"] <= balance,
    }
