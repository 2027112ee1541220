"""Signing in and out, the cookie, and the check that a form was sent from one of our own pages."""

from __future__ import annotations

import asyncio
import re
import urllib.parse
from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from fluxbooth.service.accounts import accounts, passwords, quotas, web_sessions
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.settings import Settings
from fluxbooth.web.http.auth import Using, check_pace
from fluxbooth.web.http.head import looks_only
from fluxbooth.web.http.limits import SIGN_IN
from fluxbooth.web.http.requests import read
from fluxbooth.web.pages.render import page, redirect
from fluxbooth.web.pages.texts import text
from fluxbooth.web.state import Services

# of this app, never one level up or another host's; a query is as browsers encode one
OUR_PAGE = re.compile(r"/app(?:/[\w-]+(?:\.\w+)*)*/?(?:\?[\w.~%+&=:*'()!,;/-]*)?", re.ASCII)
PARTS = 60  # that a page may bring for one request: small pictures, and what its script asks


def same_origin(request: Request) -> None:
    """Refuses a change that another site asks for in the name of whoever is signed in."""
    if request.method in ("GET", "HEAD"):
        return
    fetched_from, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    services: Services = request.app.state.services
    ours = {
        request.headers.get("host", ""),
        urllib.parse.urlsplit(services.settings.url).netloc,
    }
    if fetched_from not in (None, "same-origin") or urllib.parse.urlsplit(
        origin
    ).netloc not in ours - {""}:
        raise ServiceError(text("error.origin"), 403)


router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


def cookie_name(settings: Settings) -> str:
    """Browsers keep cookies by host, not by port: two servers on one machine must not sign each
    other out."""
    return "__Host-fluxbooth" if settings.url.startswith("https:") else f"fluxbooth-{settings.port}"


def who_is_here(request: Request, services: Services) -> Account | None:
    with services.db.read() as session:
        return web_sessions.account_of(
            session, request.cookies.get(cookie_name(services.settings)), services.secret
        )


def signed_in(request: Request, services: Using) -> Account:
    account = who_is_here(request, services)
    if account is None:
        raise ServiceError(text("error.signed_out"), 401)
    accounts.check_enabled(account)
    request.state.account = account
    return account


def for_a_page(
    request: Request, services: Using, account: Annotated[Account, Depends(signed_in)]
) -> Account:
    check_pace(services, account)
    if request.method in ("GET", "HEAD"):
        with services.db.read() as session:
            request.state.waiting = quotas.waiting(session, account.id)
    return account


def for_a_part(services: Using, account: Annotated[Account, Depends(signed_in)]) -> Account:
    check_pace(services, account, PARTS)
    return account


Viewer = Annotated[Account, Depends(for_a_page)]
PartViewer = Annotated[Account, Depends(for_a_part)]  # of what a page loads and asks by itself


async def sent(
    request: Request, services: Using, account: Annotated[Account, Depends(signed_in)]
) -> dict[str, str]:
    """The fields of a small form, read once it is known who sends it.

    (FastAPI's own `Form` reads any body before it asks that.)
    """
    return {
        name: value
        for name, value in (await read(request, services)).items()
        if isinstance(value, str)
    }


Sent = Annotated[dict[str, str], Depends(sent)]


@router.get("/start")
def start(request: Request, services: Using, token: str = "") -> Response:
    """The link that the server printed. The token leaves the address bar at once.

    Another site can lead a browser here: whoever is signed in is not made somebody else unasked.
    """
    if looks_only(request):
        return page(request, "login.html", title=text("login.title"), next="/app")
    here = who_is_here(request, services)
    if here is not None and here.disabled_at is None:
        with services.db.read() as session:
            meant = web_sessions.account_of_link(session, token, services.secret)
        if meant is None:
            return redirect("/app")
        if meant.id != here.id:
            return page(
                request,
                "start.html",
                title=text("login.title"),
                token=token,
                here=here.name,
                meant=meant.name,
            )
    return _enter(request, services, token, "/app")


@router.get("/invitation")
def invitation(request: Request, services: Using, token: str = "") -> Response:
    """A link that is sent to somebody: the programs that carry it open it, too, to show what is
    behind it, so it lets nobody in before a button is pressed."""
    with services.db.read() as session:
        meant = web_sessions.account_of_link(session, token, services.secret)
    here = who_is_here(request, services)
    if meant is None:
        return redirect("/app") if here else _refused(request, "/app", text("invitation.used"), 403)
    if here is not None and here.disabled_at is None and here.id != meant.id:
        return start(request, services, token)
    title = text("invitation.title")
    return page(request, "invitation.html", title=title, token=token, meant=meant.name)


@router.post("/start")
async def start_as_another(request: Request, services: Using) -> Response:
    """The answer to the question that `start` asks."""
    values = await read(request, services, SIGN_IN)
    return await asyncio.to_thread(
        _enter, request, services, str(values.get("token") or ""), "/app"
    )


@router.get("/login")
def login(request: Request, next: str = "/app") -> Response:
    return page(
        request,
        "login.html",
        title=text("login.title"),
        next=next if OUR_PAGE.fullmatch(next) else "/app",
    )


@router.post("/login")
async def enter(request: Request, services: Using) -> Response:
    """By a link, or by account name and password."""
    values = await read(request, services, SIGN_IN)
    after = str(values.get("next") or "/app")
    after = after if OUR_PAGE.fullmatch(after) else "/app"
    if "password" in values:
        return await asyncio.to_thread(
            _enter_by_password,
            request,
            services,
            str(values.get("name")),
            str(values["password"]),
            after,
        )
    pasted = str(values.get("link") or "").strip()
    token = urllib.parse.parse_qs(urllib.parse.urlsplit(pasted).query).get("token", [pasted])[0]
    return await asyncio.to_thread(_enter, request, services, token, after)


def _enter(request: Request, services: Using, token: str, after: str) -> Response:
    with services.db.write() as session:
        made = web_sessions.sign_in(session, token, services.secret)
    return _in(services, made, after) if made else _refused(request, after, text("login.used"), 403)


def _enter_by_password(
    request: Request, services: Using, name: str, password: str, after: str
) -> Response:
    address = request.client.host if request.client else ""
    try:
        services.guesses.begin(name, address)
    except ServiceError as error:
        return _refused(request, after, str(error), error.status, error.headers)
    with services.db.read() as session:
        account = passwords.account_of(session, name, password)
    if account is None:
        return _refused(request, after, text("login.wrong"), 403)
    services.guesses.right(name, address)
    with services.db.write() as session:
        return _in(services, web_sessions.new_session(session, account.id, services.secret), after)


def _refused(
    request: Request, after: str, why: str, status: int, headers: Mapping[str, str] | None = None
) -> Response:
    answer = page(
        request, "login.html", status, title=text("login.title"), next=after, errors=[why]
    )
    answer.headers.update(headers or {})
    return answer


def _in(services: Services, made: str, after: str) -> Response:
    answer = redirect(after)
    answer.set_cookie(
        cookie_name(services.settings),
        made,
        max_age=int(web_sessions.SESSION_LIFE.total_seconds()),
        path="/",
        httponly=True,
        samesite="lax",
        secure=services.settings.url.startswith("https:"),
    )
    return answer


@router.post("/logout")
def leave(request: Request, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        web_sessions.sign_out(
            session, request.cookies[cookie_name(services.settings)], services.secret
        )
    return _gone(services.settings)


@router.post("/logout-everywhere")
def leave_everywhere(services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        web_sessions.sign_out_everywhere(session, account)
    return _gone(services.settings)


def _gone(settings: Settings) -> Response:
    answer = redirect("/app/login")
    answer.delete_cookie(
        cookie_name(settings),
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.url.startswith("https:"),
    )
    return answer
