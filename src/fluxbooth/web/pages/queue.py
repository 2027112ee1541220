"""The page Queue: what of the account waits or is under way, for what, since when, and what ends
it."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service import estimates
from fluxbooth.service.db.tables import Account, Prompt, Tune, now
from fluxbooth.service.files import reserve
from fluxbooth.service.jobs.queue import ALONE
from fluxbooth.service.prompts import prompts
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import tunes
from fluxbooth.types import Json
from fluxbooth.web.http.auth import Using
from fluxbooth.web.pages import view_models
from fluxbooth.web.pages.login import PartViewer, Viewer, same_origin
from fluxbooth.web.pages.render import page, redirect
from fluxbooth.web.pages.texts import duration, text

router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/queue")
def queue(request: Request, services: Using, account: Viewer) -> Response:
    with services.db.read() as session:
        trainings = [_training(row) for row in _open_tunes(session, account)]
        drawings = [
            _drawing(row) | {"ends": _training_ends(session, services.settings, row)}
            for row in _open_prompts(session, account)
        ]
    return page(
        request,
        "queue.html",
        title=text("queue.title"),
        trainings=trainings,
        drawings=drawings,
    )


@router.get("/state")
def state(services: Using, account: PartViewer) -> Json:
    """What a page that waits for work asks for now and then."""
    return {"engine": services.engine_state()}


@router.post("/queue/clear")
def clear(services: Using, account: Viewer) -> Response:
    """Ends all that waits or is under way; pictures that are drawn stay."""

    def ended(session: Session) -> list[str]:
        for row in _open_tunes(session, account):
            tunes.cancel(session, services.jobs, account, row.id)
        return [
            key
            for row in _open_prompts(session, account)
            for key in prompts.cancel(session, services.jobs, account, row.id)
        ]

    reserve.delete(services.db, services.store, ended)
    return redirect("/app/queue")


def _open_tunes(session: Session, account: Account) -> list[Tune]:
    mine = select(Tune).where(Tune.account_id == account.id, Tune.is_open).order_by(Tune.id)
    return list(session.scalars(mine))


def _open_prompts(session: Session, account: Account) -> list[Prompt]:
    mine = select(Prompt).where(Prompt.account_id == account.id, Prompt.is_open)
    return list(session.scalars(mine.order_by(Prompt.id).options(*prompts.LOADED)))


def _training(row: Tune) -> Json:
    shown = view_models.tune(row)
    return shown | {"waits": _since(row)}


def _drawing(row: Prompt) -> Json:
    """With what it waits for: a training, or its turn."""
    untrained = [use.tune.title for use in row.uses if use.tune.is_open]
    return view_models.prompt(row) | {"waits": _since(row), "untrained": untrained}


def _training_ends(session: Session, settings: Settings, row: Prompt) -> str | None:
    """In how long, of a prompt that cannot be drawn beside a training."""
    if ALONE not in row.fields:
        return None
    return duration(estimates.until_a_device(session, settings, row.spec["base"], alone=True))


def _since(row: Tune | Prompt) -> str:
    return duration((now() - row.created_at).total_seconds())
