"""The same request twice, answered once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.accounts import accounts
from fluxbooth.service.db.tables import Account, Idempotency
from fluxbooth.service.errors import ServiceError
from fluxbooth.types import Json
from fluxbooth.web.http.body import Upload
from fluxbooth.web.state import Services

Answer = Mapping[str, Any]
LONGEST_KEY = 255


async def answer_once(
    request: Request,
    services: Services,
    account: Account,
    values: Json,
    work: Callable[[Session, Account], Answer],
    prepare: Callable[[], Awaitable[None]] | None = None,
    status: int = 201,
) -> Response:
    """The status with what `work` makes in one transaction; under an Idempotency-Key, the same
    answer each time.

    `prepare` is what has to be done before, without a transaction, and is not done for a key that
    has its answer.
    """
    key = request.headers.get("idempotency-key")
    asked = [request.method, request.url.path, values, request.state.files]
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=name_of).encode()).hexdigest()
    if key is not None and not 1 <= len(key) <= LONGEST_KEY:
        raise ServiceError(f"The Idempotency-Key must have 1 to {LONGEST_KEY} characters.")
    return JSONResponse(await run_idempotent(services, account, key, digest, work, prepare), status)


async def run_idempotent(
    services: Services,
    account: Account,
    key: str | None,
    digest: str,
    work: Callable[[Session, Account], Answer],
    prepare: Callable[[], Awaitable[None]] | None = None,
) -> Answer:
    """What `work` makes in one transaction, or made when this key came before.

    The answer is kept in the very transaction of the work, so that a kill leaves both or neither.
    """
    mark = (account.id, key or "")
    if key and mark in services.in_flight:
        raise ServiceError(
            "The same request is under way: wait for its answer.",
            409,
            {"Retry-After": "1"},
        )

    def look() -> Answer | None:
        with services.db.read() as session:
            return _kept(session, account, key, digest)

    services.in_flight.add(mark) if key else None
    try:
        if prepare:
            if (known := await asyncio.to_thread(look)) is not None:
                return known
            await prepare()
        return await asyncio.to_thread(made_once, services, account, key, digest, work)
    finally:
        services.in_flight.discard(mark)


def made_once(
    services: Services,
    account: Account,
    key: str | None,
    digest: str,
    work: Callable[[Session, Account], Answer],
) -> Answer:
    """What `work` makes in one transaction, or made when this key came before."""
    with services.db.write() as session:
        # locked, where a database has locks of rows: two equal requests of an idempotent
        # account must not both find nothing
        owner = session.get_one(Account, account.id, with_for_update=True)
        accounts.check_enabled(owner)  # it may have been deleted while its photos arrived
        if (known := _kept(session, owner, key, digest)) is not None:
            return known
        answer = work(session, owner)
        if key:
            session.add(
                Idempotency(
                    account_id=owner.id,
                    key=key,
                    request=digest,
                    status=201,
                    body=json.dumps(answer),
                )
            )
        return answer


def _kept(session: Session, account: Account, key: str | None, digest: str) -> Answer | None:
    """The answer that the key has already. Raises ServiceError if it was of another request."""
    if not key:
        return None
    row = session.scalar(
        select(Idempotency).where(Idempotency.account_id == account.id, Idempotency.key == key)
    )
    if row is not None and row.request != digest:
        raise ServiceError("This Idempotency-Key was used for another request: take a new one.")
    return json.loads(row.body or "{}") if row else None


def name_of(value: object) -> str:
    """An upload in a digest: two requests with the same files agree."""
    return f"{value.filename} {value.size}" if isinstance(value, Upload) else str(value)


def is_answered(session: Session, account: Account, key: str) -> bool:
    """Whether a request under the key was answered already."""
    asked = select(Idempotency.id).where(
        Idempotency.account_id == account.id, Idempotency.key == key
    )
    return session.scalar(asked) is not None
