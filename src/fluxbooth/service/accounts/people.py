"""The accounts of a server as its operator sees them, and invitations to new ones."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.service.accounts import accounts, quotas, web_sessions
from fluxbooth.service.billing import ledger
from fluxbooth.service.db.tables import Account

LONGEST_INVITATION = 30  # days


@dataclass(frozen=True)
class Person:
    id: int
    name: str
    disabled: bool
    balance_mc: int
    waiting: int  # jobs that are accepted and not over
    stored_bytes: int
    limits: dict[str, float | None]  # None: as the settings say


def listed(session: Session) -> list[Person]:
    """All that are not deleted, the operator first."""
    there = select(Account).where(Account.deleted_at.is_(None)).order_by(Account.id)
    return [
        Person(
            row.id,
            row.name,
            row.disabled_at is not None,
            ledger.balance(session, row.id),
            quotas.waiting(session, row.id),
            quotas.stored(session, row.id),
            {name: getattr(row, name) for name in quotas.LIMITS},
        )
        for row in session.scalars(there)
    ]


def invite(
    session: Session, name: str, credit_mc: int, days: int, secret: bytes, token: str | None = None
) -> str:
    """A token, the given one if any, that signs its bearer in once, within so many days, as a new
    account with so much credit.

    Raises InputError for a name, an amount or a time that will not do.
    """
    if not 1 <= days <= LONGEST_INVITATION:
        raise InputError(f"An invitation is good for 1 to {LONGEST_INVITATION} days, not {days}.")
    if credit_mc < 0:
        raise InputError("An invitation cannot take credit away: give an amount of 0 or more.")
    account = accounts.create_account(session, name)
    if credit_mc:
        ledger.credit(session, account, credit_mc, f"invitation-{account.id}")
    return web_sessions.new_link(session, account, secret, datetime.timedelta(days=days), token)
