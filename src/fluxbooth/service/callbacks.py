"""What was told to whom, what became of it, and telling it again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.errors import NotFound
from fluxbooth.service.jobs import JobEngine
from fluxbooth.service.tables import Account, Callback


def listed(session: Session, account: Account | None, limit: int) -> Sequence[Callback]:
    """The newest callbacks of an account; without one, everybody's."""
    query = select(Callback).order_by(Callback.created_at.desc()).limit(limit)
    return session.scalars(query if account is None else query.where(Callback.account_id == account.id)).all()


def replay(session: Session, jobs: JobEngine, account: Account | None, number: str) -> None:
    """Delivers one again, under its own id. NotFound if the account has none of that id."""
    row = session.get(Callback, number)
    if row is None or (account is not None and row.account_id != account.id):
        raise NotFound
    row.delivered_at = row.failed_at = None
    row.attempts += 1
    jobs.deliver(session, row.id, row.attempts + 1, 0.0)


def state(row: Callback) -> str:
    """`delivered`, `failed` (for good) or `waiting` (for the next attempt)."""
    return "delivered" if row.delivered_at else "failed" if row.failed_at else "waiting"


def about(row: Callback) -> str:
    """What it tells of: `tune 7`, `prompt 9` or `order`."""
    return f"tune {row.tune_id}" if row.tune_id else f"prompt {row.prompt_id}" if row.prompt_id else "order"
