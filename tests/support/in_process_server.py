"""A server in this process, on a real socket, without an engine: tests do the engine's steps
themselves, and run no model."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from fluxbooth.service import installation
from fluxbooth.service.accounts import accounts
from fluxbooth.service.db import database
from fluxbooth.service.settings import Settings
from fluxbooth.service.transitions import Transitions
from fluxbooth.web.app import create_app
from tests.support import contract
from tests.support.installation import Installation
from tests.support.server import free_port, until


@dataclass(frozen=True)
class InProcessServer(Installation):
    """An installation whose API answers. `http` has the owner's key."""

    http: httpx.Client
    secret: bytes
    ends: contextlib.ExitStack
    """What is closed when it ends: the clients of tests."""

    @property
    def db(self) -> database.Database:
        return self.results.db

    def guest(self, name: str) -> tuple[int, httpx.Client]:
        """One more account, and a client of its own."""
        with self.db.write() as session:
            account = accounts.create_account(session, name)
            key = accounts.create_key(session, account, "", self.secret)
        return account.id, self.client(key)

    def client(self, key: str) -> httpx.Client:
        return self.ends.enter_context(client(self.settings, key))


def client(settings: Settings, key: str) -> httpx.Client:
    return httpx.Client(
        base_url=settings.url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
        event_hooks={"response": [contract.held]},
    )


@contextlib.contextmanager
def in_process_server(blank: Path, data: Path, **settings: Any) -> Iterator[InProcessServer]:
    """Opens a server over a copy of `blank`, a migrated database."""
    data.mkdir()
    with (
        contextlib.closing(sqlite3.connect(blank)) as source,
        contextlib.closing(sqlite3.connect(data / "fluxbooth.sqlite")) as target,
    ):
        source.backup(target)  # what was written may still lie beside the file
    accounts.new_pepper(data)
    chosen = Settings(**{"data": data, "port": free_port(), "private_network": True, **settings})
    app = create_app(chosen)
    server = uvicorn.Server(uvicorn.Config(app, port=chosen.port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the server is up")
    services = app.state.services
    results = Transitions(chosen, services.db, services.store, services.jobs)
    with services.db.write() as session:
        key = accounts.create_key(session, installation.first_account(session), "", services.secret)
    with contextlib.ExitStack() as ends:
        http = ends.enter_context(client(chosen, key))
        yield InProcessServer(chosen, results, http, services.secret, ends)
    server.should_exit = True
    thread.join()
