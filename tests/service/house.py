"""A server in this process, on a real socket, without an engine: tests do the engine's steps themselves, and run no model."""

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

from fluxbooth import serve
from fluxbooth.service import accounts, db
from fluxbooth.service.results import Results
from fluxbooth.service.settings import Settings
from fluxbooth.web.app import create_app
from tests.service.server import free_port, until

Json = dict[str, Any]
PICTURE = {"seed": 1, "width": 128, "height": 128, "recipe": {}}


@dataclass
class House:
    settings: Settings
    results: Results
    owner: int
    http: httpx.Client
    secret: bytes

    @property
    def db(self) -> db.Database:
        return self.results.db

    def guest(self, name: str) -> tuple[int, httpx.Client]:
        """One more account, and a client of its own."""
        with self.db.write() as session:
            account = accounts.create_account(session, name)
            key = accounts.create_key(session, account, "", self.secret)
        return account.id, self.client(key)

    def client(self, key: str) -> httpx.Client:
        return httpx.Client(base_url=self.settings.url, headers={"Authorization": f"Bearer {key}"}, timeout=60)

    def trained(self, tune: int) -> None:
        """What the engine does when the child has trained."""
        assert self.results.begin_training(tune)
        lora = self.results.store.path(f"tunes/{tune}/work/lora.safetensors")
        lora.parent.mkdir(parents=True, exist_ok=True)
        lora.write_bytes(b"l" * 1000)
        self.results.publish_tune(tune, {"lora": str(lora), "steps": 300})

    def drawn(self, prompt: int, count: int = 1) -> None:
        """What the engine does when the child has drawn."""
        request = self.results.begin_drawing(prompt)
        assert request
        out = Path(request["out"])
        out.mkdir(parents=True, exist_ok=True)
        paths = [out / f"{i}.jpg" for i in range(count)]
        for path in paths:
            path.write_bytes(b"p" * 500)
        self.results.publish_prompt(prompt, {"pictures": [{"path": str(path), **PICTURE} for path in paths]})


@contextlib.contextmanager
def house(blank: Path, data: Path, **settings: Any) -> Iterator[House]:
    """Opens a house over a copy of `blank`, a migrated database."""
    data.mkdir()
    with sqlite3.connect(blank) as source, sqlite3.connect(data / "fluxbooth.sqlite") as target:
        source.backup(target)  # what was written may still lie beside the file
    chosen = Settings(data=data, port=free_port(), private_network=True, **settings)
    app = create_app(chosen)
    server = uvicorn.Server(uvicorn.Config(app, port=chosen.port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, "the house is open")
    services = app.state.services
    results = Results(chosen, services.db, services.store, services.jobs)
    with services.db.write() as session:
        owner = serve.first_account(session)
        key = accounts.create_key(session, owner, "", services.secret)
    made = House(chosen, results, owner.id, httpx.Client(), services.secret)
    made.http = made.client(key)
    yield made
    server.should_exit = True
    thread.join()
