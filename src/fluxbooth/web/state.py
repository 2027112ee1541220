"""State of a running server: `Services`, which every route has."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import anyio

from fluxbooth.service.accounts import accounts
from fluxbooth.service.accounts.passwords import Guesses
from fluxbooth.service.db import database
from fluxbooth.service.files.signed_urls import Signer
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.model_downloads import Pulls
from fluxbooth.service.overview import engine_runs
from fluxbooth.service.settings import Settings
from fluxbooth.web.rate_limit import RateLimiter
from fluxbooth.web.turns import Turns

EngineState = Literal["runs", "silent", "stopped"]
Engine = Callable[[], EngineState]
PATIENCE = 5.0  # seconds that a request waits for the right to write


@dataclass(frozen=True)
class Services:
    """What requests work with."""

    settings: Settings
    db: database.Database
    store: Store
    jobs: JobEngine
    sign: Signer
    secret: bytes
    rate_limiter: RateLimiter
    pulls: Pulls
    readers: anyio.CapacityLimiter  # threads that answer polls
    stopping: threading.Event  # set once no more may be answered
    engine: Engine | None
    parsing: Turns = field(default_factory=lambda: Turns(places=1, each=1))  # of long texts
    # of strangers' pictures
    decoding: Turns = field(default_factory=lambda: Turns(places=3, each=2, saved=300.0))
    guesses: Guesses = field(default_factory=Guesses)  # at passwords
    # idempotency keys of accounts whose first request is not answered yet
    in_flight: set[tuple[int, str]] = field(default_factory=set[tuple[int, str]])
    streams: Counter[int] = field(default_factory=Counter[int])  # that pages hold open, by account
    # themes written at once: each may hold threads for many seconds
    writing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))
    # one look at the machine at a time: each loads torch
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    # threads of their own for /images/inspect: they wait for other hosts, and requests that do not
    # need theirs
    inspecting: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(8, thread_name_prefix="inspect")
    )

    def engine_state(self) -> EngineState:
        """Of this server's engine, or of another one's that works on the same data."""
        if self.engine:
            return self.engine()
        return "runs" if engine_runs(self.settings.data) else "stopped"


def services(settings: Settings, stopping: threading.Event, engine: Engine | None) -> Services:
    secret = accounts.pepper(settings)
    sign = Signer(secret, settings.url)
    base = database.Database(settings.rows_url, patience=PATIENCE)
    # SQLite answers at once, so threads would only take Python's lock from one another: with eight
    # clients and two cores one thread gives a third more answers than forty
    readers = anyio.CapacityLimiter(1 if base.is_sqlite else database.READING)
    jobs = JobEngine(settings, sign)
    return Services(
        settings,
        base,
        Store(settings.data),
        jobs,
        sign,
        secret,
        RateLimiter(),
        Pulls(),
        readers,
        stopping,
        engine,
    )
