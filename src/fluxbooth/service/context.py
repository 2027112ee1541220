"""What work on rows is done with: the open transaction, on whose behalf, and the server's parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.orm import Session

from fluxbooth.service.db.tables import Account
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.settings import Settings


class Parts(Protocol):
    """What a process keeps for all its transactions."""

    @property
    def settings(self) -> Settings: ...

    @property
    def store(self) -> Store: ...

    @property
    def jobs(self) -> JobEngine: ...


@dataclass(frozen=True)
class Context:
    """One transaction of an account; whoever made it commits or rolls back."""

    session: Session
    account: Account
    settings: Settings
    store: Store
    jobs: JobEngine

    @classmethod
    def of(cls, parts: Parts, session: Session, account: Account) -> Context:
        """A transaction of the process that has these parts."""
        return cls(session, account, parts.settings, parts.store, parts.jobs)
