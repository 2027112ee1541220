"""`fluxbooth serve` and `fluxbooth key`: the server in one command, and the keys to it."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth import lifeline
from fluxbooth.errors import InputError
from fluxbooth.service import accounts, db, packs
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.service.tables import Account, ApiKey

Json = dict[str, Any]
REFUSED = 2
NANO_NOTICE = "Every FLUX base is answered by nano, a small model for trying things out. Use --base flux-dev on a machine with a GPU."


def serve(options: argparse.Namespace) -> Json:
    """Runs until it is stopped: the API here, the engine in a process of its own, started anew if it dies."""
    import uvicorn

    from fluxbooth.web.app import create_app

    settings = read_settings(host=options.host, port=options.port, data=options.data, base=options.base)
    _check_licence(settings)
    db.migrate(settings)
    key = first_key(settings)
    _banner(settings, key)
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
            code = self.process.wait()
            if code == REFUSED or self.stopping.wait(0.5):
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


def first_key(settings: Settings) -> str | None:
    """On a new data folder: the owner's account, and its key, which is shown this once."""
    secret = accounts.pepper(settings.data)
    with db.Database(settings.database_url).write() as session:
        if session.scalar(select(Account.id)) is not None:
            return None
        return accounts.create_key(session, first_account(session), "first", secret)


def first_account(session: Session) -> Account:
    """The owner of a new installation, with the packs that it starts with."""
    account = accounts.create_account(session, "owner")
    packs.stock(session, account)
    return account


def _banner(settings: Settings, key: str | None) -> None:
    lines = [f"Fluxbooth listens on {settings.url}"]
    lines += [NANO_NOTICE] if settings.base == "nano" else []
    lines += [f"Your key, shown only now: {key}", "Lost it? `fluxbooth key create` makes another."] if key else []
    print("\n".join(lines), file=sys.stderr, flush=True)


def _check_licence(settings: Settings) -> None:
    if settings.base in ("flux-dev", "flux-krea") and settings.flux_dev_license is None:
        raise InputError(
            f"{settings.base} may be served only under a licence that you hold: set FLUXBOOTH_FLUX_DEV_LICENSE=noncommercial "
            "for research and personal use, or FLUXBOOTH_FLUX_DEV_LICENSE=commercial if Black Forest Labs sold you one."
        )


def key(options: argparse.Namespace) -> Json:
    """`key create|list|revoke`, beside a running server or without one."""
    settings = read_settings(data=options.data)
    db.migrate(settings)
    with db.Database(settings.database_url).write() as session:
        account = session.scalar(select(Account).order_by(Account.id)) or first_account(session)
        if options.verb == "create":
            made = accounts.create_key(session, account, options.label, accounts.pepper(settings.data))
            if not options.json:
                print(made)
            return {"key": made}
        if options.verb == "revoke":
            accounts.revoke_key(session, options.prefix)
            return {"revoked": options.prefix}
        rows = [
            {"prefix": row.prefix, "label": row.label, "created_at": row.created_at.isoformat(), "revoked": row.revoked_at is not None}
            for row in session.scalars(select(ApiKey).order_by(ApiKey.id))
        ]
    if not options.json:
        for row in rows:
            print(f"{row['prefix']}...  {row['created_at'][:10]}  {'revoked' if row['revoked'] else row['label']}")
    return {"keys": rows}


def serve_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", help="port (default: 8000)")
    parser.add_argument("--data", metavar="DIR", help="folder of everything that is kept (default: ~/.local/share/fluxbooth)")
    parser.add_argument("--base", help="base that answers every FLUX base id (default: nano)")
    parser.add_argument("--no-worker", action="store_true", help="answer requests, but do no work")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)


def key_flags(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="verb")
    create = verbs.add_parser("create", help="make a key and show it once")
    create.add_argument("--label", default="", help="what it is for")
    verbs.add_parser("list", help="the keys by their first letters")
    revoke = verbs.add_parser("revoke", help="make a key useless")
    revoke.add_argument("prefix", metavar="PREFIX", help="the first letters, as `list` shows them")
    for verb in verbs.choices.values():
        verb.add_argument("--data", metavar="DIR", help="the server's folder")
        verb.add_argument("--json", action="store_true", help="print one JSON object on standard output")
        verb.set_defaults(run=key)
