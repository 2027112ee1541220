"""Signing in and out, the cookie, and the check that a form was sent from one of our own pages."""

from __future__ import annotations

import asyncio
import re
import urllib.parse
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from fluxbooth.service import accounts, signing_in
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.settings import MB, Settings
from fluxbooth.service.tables import Account
from fluxbooth.web import forms
from fluxbooth.web.render import page, redirect
from fluxbooth.web.requests import Using
from fluxbooth.web.texts import text

OUR_PAGE = re.compile(r"/app(?:/[\w/-]*)?")


def same_origin(request: Request) -> None:
    """Refuses a change that another site asks for in the name of whoever is signed in."""
    if request.method in ("GET", "HEAD"):
        return
    fetched_from, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    ours = {request.headers.get("host", ""), urllib.parse.urlsplit(request.app.state.services.settings.url).netloc}
    if fetched_from not in (None, "same-origin") or urllib.parse.urlsplit(origin).netloc not in ours - {""}:
        raise ServiceError(text("error.origin"), 403)


router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


def cookie_name(settings: Settings) -> str:
    """Browsers keep cookies by host, not by port: two servers on one machine must not sign each other out."""
    return "__Host-fluxbooth" if settings.url.startswith("https:") else f"fluxbooth-{settings.port}"


def signed_in(request: Request, services: Using) -> Account:
    with services.db.read() as session:
        account = signing_in.account_of(session, request.cookies.get(cookie_name(services.settings)), services.secret)
    if account is None:
        raise ServiceError(text("error.signed_out"), 401)
    accounts.check_enabled(account)
    request.state.account = account
    return account


Viewer = Annotated[Account, Depends(signed_in)]


@router.get("/start")
def start(request: Request, services: Using, token: str = "") -> Response:
    """The link that the server printed. The token leaves the address bar at once."""
    return _enter(request, services, token, "/app")


@router.get("/login")
def login(request: Request, next: str = "/app") -> Response:
    return page(request, "login.html", title=text("login.title"), next=next if OUR_PAGE.fullmatch(next) else "/app")


@router.post("/login")
async def enter(request: Request, services: Using) -> Response:
    values = await forms.read(request, services.store.incoming, forms.Limits(request=MB))
    pasted, after = str(values.get("link") or ""), str(values.get("next") or "/app")
    token = urllib.parse.parse_qs(urllib.parse.urlsplit(pasted.strip()).query).get("token", [pasted.strip()])[0]
    return await asyncio.to_thread(_enter, request, services, token, after if OUR_PAGE.fullmatch(after) else "/app")


def _enter(request: Request, services: Using, token: str, after: str) -> Response:
    with services.db.write() as session:
        made = signing_in.sign_in(session, token, services.secret)
    if made is None:
        return page(request, "login.html", 403, title=text("login.title"), next=after, errors=[text("login.used")])
    answer = redirect(after)
    answer.set_cookie(
        cookie_name(services.settings), made, max_age=int(signing_in.SESSION_LIFE.total_seconds()), path="/", httponly=True,
        samesite="lax", secure=services.settings.url.startswith("https:"),
    )  # fmt: skip
    return answer


@router.post("/logout")
def leave(request: Request, services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        signing_in.sign_out(session, request.cookies[cookie_name(services.settings)], services.secret)
    return _gone(services.settings)


@router.post("/logout-everywhere")
def leave_everywhere(services: Using, account: Viewer) -> Response:
    with services.db.write() as session:
        signing_in.sign_out_everywhere(session, account)
    return _gone(services.settings)


def _gone(settings: Settings) -> Response:
    answer = redirect("/app/login")
    answer.delete_cookie(cookie_name(settings), path="/", httponly=True, samesite="lax", secure=settings.url.startswith("https:"))
    return answer
