"""The page Account: settings, keys, password, storage, and what was told to whom."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from fluxbooth.service.accounts import accounts, passwords, quotas, web_sessions
from fluxbooth.service.billing import ledger
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.jobs import callbacks
from fluxbooth.types import Json
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.limits import format_bytes
from fluxbooth.web.pages.login import Sent, Viewer, cookie_name, same_origin
from fluxbooth.web.pages.render import page, redirect, sentences
from fluxbooth.web.pages.texts import text

CALLBACKS = MOVEMENTS = 30  # shown
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/account")
def account_page(
    request: Request,
    services: Using,
    account: Viewer,
    done: Literal["password", "settings"] | None = None,
) -> Response:
    return _page(request, services, account, done=done)


@router.get("/keys")
def keys(account: Viewer) -> Response:
    return RedirectResponse("/app/account")


@router.post("/account/settings")
def change(services: Using, account: Viewer, sent: Sent) -> Response:
    chosen = {name: bool(sent.get(name)) for name in ("idempotent", "auto_extend", "face_crop")}
    with services.db.write() as session:
        accounts.change(session, account, **chosen)
    return redirect("/app/account?done=settings")


@router.post("/account/password")
def change_password(request: Request, services: Using, account: Viewer, sent: Sent) -> Response:
    try:
        with services.db.write() as session:
            passwords.change(session, account, sent.get("old", ""), sent.get("new", ""))
            here = request.cookies[cookie_name(services.settings)]
            web_sessions.sign_out_others(session, account, here, services.secret)
    except ServiceError as error:
        return _page(request, services, account, errors=sentences(error), status=error.status)
    return redirect("/app/account?done=password")


@router.post("/keys")
def make_key(request: Request, services: Using, account: Viewer, sent: Sent) -> Response:
    with services.db.write() as session:
        made = accounts.create_key(session, account, sent.get("label", "").strip(), services.secret)
    return _page(request, services, account, made=made)


@router.post("/keys/{prefix}/revoke")
def revoke_key(prefix: str, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        if prefix not in [
            key.prefix for key in accounts.keys_of(session, account) if not key.revoked_at
        ]:
            raise NotFound
        accounts.revoke_key(session, prefix, account)
    return redirect("/app/account")


@router.post("/callbacks/{number}/replay")
def replay(number: str, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        callbacks.replay(session, services.jobs, account, number)
    return redirect("/app/account#callbacks")


@router.post("/account/callback-secret")
def new_secret(services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        callbacks.rotate(session, account)
    return redirect("/app/account#callbacks")


def _page(
    request: Request,
    services: Using,
    account: Account,
    *,
    made: str | None = None,
    done: str | None = None,
    errors: list[str] | None = None,
    status: int = 200,
) -> Response:
    with services.db.read() as session:
        owner = session.get_one(Account, account.id)
        rows = accounts.keys_of(session, account)
        used = format_bytes(quotas.stored(session, account.id))
        money = _money(session, account) if services.settings.prices != Prices() else {}
        told = [
            (row, callbacks.state(row), callbacks.about(row))
            for row in callbacks.listed(session, account, CALLBACKS)
        ]
        operator = accounts.is_operator(session, account)
    return page(
        request,
        "account.html",
        status,
        title=text("account.title"),
        keys=rows,
        made=made,
        done=done,
        owner=owner,
        callbacks=told,
        operator=operator,
        used=used,
        **{"balance": None, "ledger": [], **money},
        errors=errors or [],
        shortest=passwords.SHORTEST,
        longest=passwords.LONGEST,
        secret=owner.webhook_secret,
        both=len(callbacks.secrets_of(owner)) > 1,
    )


def _money(session: Session, account: Account) -> Json:
    rows = ledger.movements(session, account, limit=MOVEMENTS)
    return {
        "balance": ledger.dollars(ledger.balance(session, account.id)),
        "ledger": [(row, ledger.dollars(row.amount_mc)) for row in rows],
    }
