"""The operator's page People: accounts with their credit and limits, and invitations."""

from __future__ import annotations

import json
import secrets
import urllib.parse

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.service.accounts import accounts, people, quotas, web_sessions
from fluxbooth.service.billing import ledger
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import NotFound
from fluxbooth.types import Json
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.limits import format_bytes
from fluxbooth.web.http.params import row_id
from fluxbooth.web.pages import once
from fluxbooth.web.pages.login import Sent, same_origin
from fluxbooth.web.pages.operator import Operator
from fluxbooth.web.pages.render import page, redirect
from fluxbooth.web.pages.texts import text

USUAL_DAYS = 7  # that an invitation is good for
router = APIRouter(
    prefix="/app/people", include_in_schema=False, dependencies=[Depends(same_origin)]
)


@router.get("")
def listing(request: Request, services: Using, account: Operator) -> Response:
    return _page(request, services)


@router.post("")
def invite(request: Request, services: Using, account: Operator, sent: Sent) -> Response:
    """A new account, and the link that lets its person in, shown once."""
    try:
        given = sent.get("credit", "").strip()
        credit = ledger.millicents(given) if given else 0
        days = _whole(sent.get("days", ""), text("people.days"))
        # of the form itself, so that the second answer to it shows the same link
        made = accounts.digest(f"invitation {json.dumps(sent)}", services.secret)
        token = made if sent.get("once") else secrets.token_urlsafe(32)

        def work(session: Session, owner: Account) -> Json:
            people.invite(session, sent.get("name", ""), credit, days, services.secret, token)
            return {}

        once.made_once(services, account, request.url.path, dict(sent), work)
    except InputError as error:
        return _page(request, services, errors=[str(error)], values=sent, status=422)
    return _page(request, services, link=_link(services, token), days=days)


@router.post("/{number}/link")
def link(number: str, request: Request, services: Using, account: Operator) -> Response:
    """Another link, for somebody who lost the way in."""
    with services.db.write() as session:
        token = web_sessions.new_link(session, _account(session, number), services.secret)
    return _page(request, services, link=_link(services, token), days=1)


@router.post("/{number}/credit")
def credit(
    number: str, request: Request, services: Using, account: Operator, sent: Sent
) -> Response:
    try:
        amount = ledger.millicents(sent.get("amount", "").strip())
    except InputError as error:
        return _page(request, services, errors=[str(error)], status=422)
    # the form's own number: sent twice, it counts once
    reference = f"people-{sent['once']}" if sent.get("once") else None
    try:
        with services.db.write() as session:
            ledger.credit(session, _account(session, number), amount, reference)
    except NotFound:
        raise
    except InputError:  # which names the reference
        return _page(request, services, errors=[text("people.amount.again")], status=422)
    return redirect("/app/people")


@router.post("/{number}/limits")
def limits(
    number: str, request: Request, services: Using, account: Operator, sent: Sent
) -> Response:
    """Blank is what the settings say, 0 no limit."""
    try:
        given = {name: sent.get(name, "").strip() for name in quotas.LIMITS}
        chosen = {k: quotas.read_limit(k, v) if v else None for k, v in given.items()}
    except InputError as error:
        return _page(request, services, errors=[str(error)], status=422)
    with services.db.write() as session:
        row = _account(session, number)
        for name, value in chosen.items():
            setattr(row, name, value)
    return redirect("/app/people")


@router.post("/{number}/switch")
def switch(number: str, services: Using, account: Operator, sent: Sent) -> Response:
    with services.db.write() as session:
        row = _account(session, number)
        if row.id != account.id:  # nobody shuts himself out
            accounts.disable(row, sent.get("to") == "off")
    return redirect("/app/people")


def _account(session: Session, number: str) -> Account:
    row = session.get(Account, row_id(number))
    if row is None or row.deleted_at:
        raise NotFound
    return row


def _link(services: Using, token: str) -> str:
    return f"{services.settings.url}/app/invitation?{urllib.parse.urlencode({'token': token})}"


def _whole(given: str, what: str) -> int:
    if not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise InputError(f"{what} {given!r} will not do: give a whole number.")
    return int(given)


def _page(
    request: Request,
    services: Using,
    *,
    link: str | None = None,
    days: int = USUAL_DAYS,
    errors: list[str] | None = None,
    values: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    with services.db.read() as session:
        rows = people.listed(session)
    shown = [
        {
            "id": row.id,
            "name": row.name,
            "disabled": row.disabled,
            "balance": ledger.dollars(row.balance_mc),
            "waiting": row.waiting,
            "stored": format_bytes(row.stored_bytes),
            "limits": {k: "" if v is None else f"{v:g}" for k, v in row.limits.items()},
            "once": once.mark(),
        }
        for row in rows
    ]
    settings = services.settings
    return page(
        request,
        "people.html",
        status,
        title=text("people.title"),
        people=shown,
        link=link,
        days=days,
        errors=errors or [],
        once=once.mark(),
        values={"name": "", "credit": "", "days": days, **(values or {})},
        usual={name: f"{getattr(settings, name):g}" for name in quotas.LIMITS},
        longest=people.LONGEST_INVITATION,
    )
