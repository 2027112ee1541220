"""What every route needs of a request: whose it is, its body and files, its page of a list, its idempotency key."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import anyio.to_thread
from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service import accounts, quotas
from fluxbooth.service.errors import Faults, Invalid, ServiceError
from fluxbooth.service.schemas import BLANK, Form
from fluxbooth.service.tables import Account, Idempotency
from fluxbooth.web import forms
from fluxbooth.web.app import Services
from fluxbooth.web.forms import Upload
from fluxbooth.web.limits import FORM, MB, Limits

Json = dict[str, Any]
DEFAULT_LIMIT, MOST, LONGEST_KEY, LARGEST = 20, 120, 255, 2**63 - 1
in_flight: set[tuple[int, str]] = set()  # idempotency keys whose first request is not answered yet


async def the_services(request: Request) -> Services:  # async, for FastAPI calls what is not in a thread of its own
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
        raise ServiceError(_why_not(request.headers.get("authorization")), 401, {"WWW-Authenticate": "Bearer"})
    accounts.check_enabled(account)
    check_pace(services, account)
    return account


def check_pace(services: Services, account: Account, parts: int = 1) -> None:
    """Counts one more request of the account, or one of the so many parts that a page may bring for one. Raises ServiceError (429)."""
    most = quotas.limits(services.settings, account).requests_per_second
    if wait := services.pace.wait((account.id, parts), most * parts):
        raise ServiceError(f"More than {most:g} requests a second: wait a little.", 429, {"Retry-After": str(math.ceil(wait))})


def _why_not(header: str | None) -> str:
    key = (header or "").partition(" ")[2].strip()
    if key.startswith(accounts.PREFIX):
        why = "was revoked, or is one of another server" if accounts.is_whole(key) else "was cut or mistyped"
        return f"The key is wrong: it {why}."
    return "The key is missing or wrong: send `Authorization: Bearer sd_...`."


async def looked_up(request: Request, services: Services, work: Callable[[Session, Account], Any]) -> Response:
    """What `work` reads for the owner of the key, as JSON.

    Clients ask for their rows every second, so key, rows and JSON take one thread and one transaction together.
    """

    def run() -> bytes:
        with services.db.read() as session:
            return json.dumps(work(session, owner_of(session, request, services)), separators=(",", ":")).encode()

    return Response(await anyio.to_thread.run_sync(run, limiter=services.readers), media_type="application/json")


def page(request: Request, most_offset: int) -> Json:
    """limit, offset and before_id of a list. Raises Invalid for those that are no numbers, all at once."""
    asked, faults = dict[str, int | None](), Faults()
    for name in ("limit", "per_page", "offset", "page", "before_id"):
        with faults.gathered():
            asked[name] = number(request, name)
    faults.tell()
    limit = min(MOST, max(1, asked["limit"] or asked["per_page"] or DEFAULT_LIMIT))
    offset = asked["offset"] if asked["offset"] is not None else (max(1, asked["page"] or 1) - 1) * limit
    if not 0 <= offset <= most_offset:
        raise ServiceError(f"The offset must be 0 to {most_offset}: page on with before_id, the lowest id so far.", 400)
    return {"limit": limit, "offset": offset, "before": asked["before_id"]}


def number(request: Request, name: str) -> int | None:
    """A number of the query; one that is larger than any id is the largest. Raises Invalid for what is none: left out, it would be
    answered with another list than the one that was asked for."""
    text = (request.query_params.get(name) or "").strip()
    if text in BLANK:
        return None
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise Invalid({name: ["must be a whole number"]})
    largest = -LARGEST if text.startswith("-") else LARGEST
    return int(text) if len(text) < len(str(LARGEST)) else largest


async def read(request: Request, services: Services, limits: Limits = FORM) -> Json:
    """The body, of the account that the request's dependencies found. Its files belong to the caller (see `forms.discard`)."""
    account = getattr(request.state, "account", None)
    return await forms.read(request, services.store.incoming, limits, services.parsing.turn(account.id if account else None))


def of_photos(services: Services) -> Limits:
    """A whole set of photos with their captions."""
    return Limits(file=services.settings.image_mb * MB, request=services.settings.request_mb * MB)


@contextlib.asynccontextmanager
async def body(request: Request, services: Services, key: str, limits: Limits = FORM) -> AsyncIterator[tuple[Json, list[Upload]]]:
    """The object of a body and the pictures it brought; other files stay in it. What nobody took is removed at the end."""
    whole = await read(request, services, limits)
    try:
        values = dict(forms.unwrap(whole, key))
        images = values.pop("images", None)
        given = images if isinstance(images, list) else [images]
        uploads = [item for item in given if isinstance(item, Upload)]
        addresses = [item for item in given if isinstance(item, str) and item.strip()]
        if addresses:
            known = values.get("image_urls") or []
            values["image_urls"] = [*(known if isinstance(known, list) else [known]), *addresses]
        if len(uploads) + len(addresses) < len([item for item in given if item not in (None, "")]):
            raise Invalid({"images": ["must be files or addresses"]})
        request.state.files = [_name(upload) for upload in forms.uploads(whole)]
        yield values, uploads
    finally:
        await asyncio.to_thread(forms.discard, whole)


async def answered_once(
    request: Request, services: Services, account: Account, values: Json, work: Callable[[Session, Account], Json],
    prepare: Callable[[], Awaitable[None]] | None = None, status: int = 201,
) -> Response:  # fmt: skip
    """The status with what `work` makes in one transaction; under an Idempotency-Key, the same answer each time.

    `prepare` is what has to be done before, without a transaction, and is not done for a key that has its answer.
    """
    key = request.headers.get("idempotency-key")
    asked = [request.method, request.url.path, values, request.state.files]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=_name).encode()).hexdigest()
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise ServiceError(f"The Idempotency-Key must have 1 to {LONGEST_KEY} characters.")
    return JSONResponse(await once(services, account, key, digest, work, prepare), status)


async def once(
    services: Services, account: Account, key: str | None, digest: str, work: Callable[[Session, Account], Json],
    prepare: Callable[[], Awaitable[None]] | None = None,
) -> Json:  # fmt: skip
    """What `work` makes in one transaction, or made when this key came before.

    The answer is kept in the very transaction of the work, so that a kill leaves both or neither.
    """
    mark = (account.id, key or "")
    if key and mark in in_flight:
        raise ServiceError("A request with this Idempotency-Key is under way: wait for its answer.", 409, {"Retry-After": "1"})

    def kept(session: Session) -> Json | None:
        row = session.scalar(select(Idempotency).where(Idempotency.account_id == account.id, Idempotency.key == key)) if key else None
        if row is not None and row.request != digest:
            raise ServiceError("This Idempotency-Key was used for another request: take a new one.")
        return json.loads(row.body or "{}") if row else None

    def look() -> Json | None:
        with services.db.read() as session:
            return kept(session)

    def run() -> Json:
        with services.db.write() as session:
            # locked, where a database has locks of rows: two equal requests of an idempotent account must not both find nothing
            owner = session.get_one(Account, account.id, with_for_update=True)
            accounts.check_enabled(owner)  # it may have been deleted while its photos arrived
            if (known := kept(session)) is not None:
                return known
            answer = work(session, owner)
            if key:
                session.add(Idempotency(account_id=owner.id, key=key, request=digest, status=201, body=json.dumps(answer)))
            return answer

    in_flight.add(mark) if key else None
    try:
        if prepare:
            if (known := await asyncio.to_thread(look)) is not None:
                return known
            await prepare()
        return await asyncio.to_thread(run)
    finally:
        in_flight.discard(mark)


def _name(value: object) -> str:
    """An upload in a digest: two requests with the same files agree."""
    return f"{value.filename} {value.size}" if isinstance(value, Upload) else str(value)


def body_of(form: type[Form], key: str, *, files: bool = False) -> Json:
    """The request body in OpenAPI: the same fields wrapped in JSON, or as a form with bracket names."""
    schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    fields = {f"{key}[{name}]": part for name, part in schema["properties"].items()}
    if files:
        fields[f"{key}[images][]"] = {"type": "array", "items": {"type": "string", "format": "binary"}}
    wrapped = {"type": "object", "properties": {key: schema}}
    bracketed = {"type": "object", "properties": fields}
    return {"requestBody": {"content": {"application/json": {"schema": wrapped}, "multipart/form-data": {"schema": bracketed}}}}
