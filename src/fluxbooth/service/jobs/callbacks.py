"""Callbacks as rows: for whom, signed how, what became of each, and sending one again."""

from __future__ import annotations

import datetime
import random
import time
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth import log
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Account, Callback, now
from fluxbooth.service.errors import Invalid, NotFound
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.outgoing import webhooks
from fluxbooth.service.outgoing.fetch import FetchError, check, rules_for
from fluxbooth.service.outgoing.outbound import FetchRules
from fluxbooth.service.settings import Settings

GONE = 410  # a receiver's word that it wants no more
LONGEST_WAIT = 86_400.0  # seconds that a receiver may ask to be left alone for
BOTH_SIGN = datetime.timedelta(hours=24)  # after a secret was made anew


def faults(settings: Settings, url: str | None) -> list[str]:
    """What is wrong with an address that is given for callbacks, as far as can be told without
    asking anybody."""
    try:
        check(url, rules_for(settings)) if url else None
    except FetchError as error:
        return [
            (
                f"{error} Private addresses and unusual ports need "
                "FLUXBOOTH_PRIVATE_NETWORK=true on the server."
            )
        ]
    return []


def check_address(settings: Settings, url: str | None, field: str = "callback") -> None:
    """Raises Invalid for an address that no callback would ever be sent to."""
    if wrong := faults(settings, url):
        raise Invalid({field: wrong})


def secrets_of(account: Account) -> list[str]:
    """What an account's callbacks are signed with: its secret, and for a day after it was made
    anew the one before."""
    before = account.webhook_secret_before
    return [
        account.webhook_secret,
        *(
            [before]
            if before and (account.webhook_secret_since or now()) > now() - BOTH_SIGN
            else []
        ),
    ]


def rotate(session: Session, account: Account) -> Account:
    """Makes the account's secret anew."""
    row = session.get_one(Account, account.id)
    row.webhook_secret, row.webhook_secret_before, row.webhook_secret_since = (
        webhooks.new_secret(),
        row.webhook_secret,
        now(),
    )
    return row


def deliver(db: Database, jobs: JobEngine, rules: FetchRules, number: str, attempt: int) -> None:
    """One attempt; a failed one enqueues the next, ten in all."""
    with db.read() as session:
        row = session.get(Callback, number)
        if row is None or row.delivered_at or row.failed_at:
            return
        keys = secrets_of(session.get_one(Account, row.account_id))
        url = row.url
        body = row.body.encode()
    headers = webhooks.signed_headers(keys, number, int(time.time()), body)
    answer = webhooks.deliver(url, body, headers, rules)
    log.write(
        "callback",
        callback=number,
        attempt=attempt,
        status=answer.status,
        reason=answer.reason or None,
    )
    with db.write() as session:
        row = session.get(Callback, number)
        if row is None or row.delivered_at or row.attempts >= attempt:
            return
        row.attempts, row.last_error = attempt, answer.error
        if answer.delivered:
            row.delivered_at = now()
        elif attempt >= webhooks.ATTEMPTS or answer.status == GONE:
            row.failed_at = now()
        else:
            wait = max(
                webhooks.delay(attempt + 1, random.Random()),
                min(answer.retry_after or 0.0, LONGEST_WAIT),
            )
            jobs.deliver(session, row, attempt + 1, wait)
        if row.prompt_id and attempt == 1:  # an order may have waited for this
            session.flush()
            jobs.settle(session, row.account_id)


def find(db: Database, number: str) -> Callback | None:
    with db.read() as session:
        return session.get(Callback, number)


def listed(session: Session, account: Account | None, limit: int) -> Sequence[Callback]:
    """The newest callbacks of an account; without one, everybody's."""
    query = select(Callback).order_by(Callback.created_at.desc()).limit(limit)
    return session.scalars(
        query if account is None else query.where(Callback.account_id == account.id)
    ).all()


def replay(session: Session, jobs: JobEngine, account: Account | None, number: str) -> None:
    """Delivers one again, under its own id. NotFound if the account has none of that id."""
    row = session.get(Callback, number)
    if row is None or (account is not None and row.account_id != account.id):
        raise NotFound
    row.delivered_at = row.failed_at = None
    row.attempts += 1
    jobs.deliver(session, row, row.attempts + 1, 0.0)


def state(row: Callback) -> str:
    """`delivered`, `failed` (for good) or `waiting` (for the next attempt)."""
    return "delivered" if row.delivered_at else "failed" if row.failed_at else "waiting"


def about(row: Callback) -> str:
    """What it tells of: `tune 7`, `prompt 9` or `order`."""
    return (
        f"tune {row.tune_id}"
        if row.tune_id
        else f"prompt {row.prompt_id}"
        if row.prompt_id
        else "order"
    )
