"""`fluxbooth serve`: the API and its engine in one command."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth import lifeline, models
from fluxbooth.errors import InputError
from fluxbooth.models import pull
from fluxbooth.service import accounts, db, opening, packs, signing_in
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.service.tables import Account

Json = dict[str, Any]
REFUSED = 2
STARTED = 5.0  # seconds after which an engine counts as one that works
NANO_NOTICE = "Every FLUX base is answered by nano, a small model for trying things out. Use --base flux-dev on a machine with a GPU."


def serve(options: argparse.Namespace) -> Json:
    """Runs until it is stopped: the API here, the engine in a process of its own, started anew if it dies."""
    import uvicorn

    from fluxbooth.web.app import create_app

    settings = read_settings(host=options.host, port=options.port, data=options.data, base=options.base)
    _check_bases(settings)
    with opening.faults_said(settings):
        database = opening.opened(settings)
        opening.check(settings)
        first = first_start(settings, database)
        note_url(settings)
    _banner(settings, first)
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: None)  # uvicorn raises them again once it is done; then the engine has its turn
    engine = None if options.no_worker else Supervisor(settings)
    if engine:
        engine.start()
    try:
        uvicorn.run(
            create_app(settings), host=settings.host, port=settings.port, log_level="warning", access_log=False,
            proxy_headers=True, forwarded_allow_ips=settings.trusted_proxies, timeout_graceful_shutdown=10, timeout_keep_alive=30,
        )  # fmt: skip
    finally:
        if engine:
            engine.stop()
    return {"url": settings.url}


class Supervisor:
    """Keeps one engine process alive. One that refuses to start (exit code 2) is not tried again."""

    def __init__(self, settings: Settings) -> None:
        self.environment = {**lifeline.environment(), **environment(settings)}
        self.stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # the kernel counts the end of the starting thread as the parent's: this thread lives as long as the engine does
        self.thread = threading.Thread(target=self._keep, daemon=True)
        self.thread.start()

    def _keep(self) -> None:
        while not self.stopping.is_set():
            self.process = subprocess.Popen([sys.executable, "-m", "fluxbooth.worker"], env=self.environment, start_new_session=True)
            began = time.monotonic()
            code = self.process.wait()
            # one that had worked is replaced at once; one that cannot even start is not tried in a tight loop
            if code == REFUSED or self.stopping.wait(0.0 if time.monotonic() - began > STARTED else STARTED):
                return

    def stop(self) -> None:
        """SIGTERM: a training writes a checkpoint first."""
        self.stopping.set()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        self.thread.join(timeout=30)


def environment(settings: Settings) -> dict[str, str]:
    """The settings as the variables that the engine process reads."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return {f"FLUXBOOTH_{name.upper()}": value if isinstance(value, str) else _json(value) for name, value in values.items()}


def _json(value: object) -> str:
    import json

    return json.dumps(value)


def first_start(settings: Settings, database: db.Database) -> tuple[str, str] | None:
    """On a new data folder: the owner's account, its key and a link to the web app, which are shown this once."""
    secret = accounts.pepper(settings.data)
    with database.read() as session:  # which a full disk allows
        if session.scalar(select(Account.id)) is not None:
            return None
    with database.write() as session:
        if session.scalar(select(Account.id)) is not None:
            return None
        account = first_account(session)
        made = accounts.create_key(session, account, "first", secret)
        return made, address_of(settings.url, signing_in.new_link(session, account, secret))


def first_account(session: Session) -> Account:
    """The owner of a new installation, with the packs that it starts with."""
    account = accounts.create_account(session, "owner")
    packs.stock(session, account)
    return account


def address_of(url: str, token: str) -> str:
    """Where a browser signs in."""
    return f"{url.rstrip('/')}/app/start?token={token}"


def note_url(settings: Settings) -> None:
    """For the commands beside it."""
    noted = settings.data / "url"
    if not noted.exists() or noted.read_text() != settings.url:  # nothing is written without need: the disk may be full
        noted.write_text(settings.url)


def last_url(settings: Settings) -> str:
    """Where the server of this data folder listens, or listened last: its flags are not ours."""
    noted = settings.data / "url"
    return noted.read_text() if noted.exists() else settings.url


def _banner(settings: Settings, first: tuple[str, str] | None) -> None:
    lines = [f"Fluxbooth listens on {settings.url}"]
    lines += [NANO_NOTICE] if settings.base == "nano" else []
    if pull.local(models.find(settings.base)) is None:
        lines += [f"{settings.base} is not on this machine: run `fluxbooth models pull {settings.base}`; until then its jobs fail."]
    if first:
        lines += [f"Your key, shown only now: {first[0]}", "Lost it? `fluxbooth key create` makes another."]
        lines += [f"The web app opens here, once, within a day: {first[1]}", "Another such link: `fluxbooth key link`"]
    print("\n".join(lines), file=sys.stderr, flush=True)


def _check_bases(settings: Settings) -> None:
    """The server's own base can be trained, each that draws is one, and what their licence asks for is stated."""
    models.find_to_train(settings.base)
    for name in sorted(settings.served):
        if models.find(name).licence == models.FLUX_DEV_LICENCE and settings.flux_dev_license is None:
            raise InputError(
                f"{name} may be served only under a licence of FLUX.1-dev that you hold: set FLUXBOOTH_FLUX_DEV_LICENSE=noncommercial "
                "for research and personal use, or FLUXBOOTH_FLUX_DEV_LICENSE=commercial if Black Forest Labs sold you one."
            )


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", help="port (default: 8000)")
    parser.add_argument("--data", metavar="DIR", help="folder of everything that is kept (default: ~/.local/share/fluxbooth)")
    parser.add_argument("--base", help="base that answers every FLUX base id (default: nano)")
    parser.add_argument("--no-worker", action="store_true", help="answer requests, but do no work")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=serve)
