"""Whose a request is."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from fluxbooth.service.accounts import accounts, quotas
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import ServiceError
from fluxbooth.web.state import Services


# async, for FastAPI calls what is not in a thread of its own
async def the_services(request: Request) -> Services:
    return request.app.state.services


Using = Annotated[Services, Depends(the_services)]


def the_account(request: Request, services: Using) -> Account:
    with services.db.read() as session:
        account = owner_of(session, request, services)
    request.state.account = account
    return account


Owner = Annotated[Account, Depends(the_account)]


def owner_of(session: Session, request: Request, services: Services) -> Account:
    account = accounts.account_of(session, request.headers.get("authorization"), services.secret)
    if account is None:
        raise ServiceError(
            _why_not(request.headers.get("authorization")), 401, {"WWW-Authenticate": "Bearer"}
        )
    accounts.check_enabled(account)
    check_pace(services, account)
    return account


def check_pace(services: Services, account: Account, parts: int = 1) -> None:
    """Counts one more request of the account, or one of the so many parts that a page may bring
    for one. Raises ServiceError (429)."""
    most = quotas.limits(services.settings, account).requests_per_second
    if wait := services.rate_limiter.wait((account.id, parts), most * parts):
        raise ServiceError(
            f"More than {most:g} requests a second: wait a little.",
            429,
            {"Retry-After": str(math.ceil(wait))},
        )


def _why_not(header: str | None) -> str:
    key = (header or "").partition(" ")[2].strip()
    if key.startswith(accounts.PREFIX):
        why = (
            "was revoked, or is one of another server"
            if accounts.is_whole(key)
            else "was cut or mistyped"
        )
        return f"The key is wrong: it {why}."
    return "The key is missing or wrong: send `Authorization: Bearer sd_...`."
