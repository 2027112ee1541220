"""`fluxbooth serve`: the API and its engine in one command."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from fluxbooth.cli.output import output_flags
from fluxbooth.engine.supervisor import Supervisor
from fluxbooth.models import hub, registry
from fluxbooth.service import licensing, opening, safety
from fluxbooth.service.installation import first_start, note_url
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.types import Json

NANO_NOTICE = (
    "Every FLUX base is answered by nano, a small model for trying things out. Use --base "
    "flux-dev on a machine with a GPU."
)


def serve(options: argparse.Namespace) -> Json:
    """Runs until it is stopped: the API here, the engine in a process of its own, started anew
    if it dies."""
    import uvicorn

    from fluxbooth.web.app import create_app
    from fluxbooth.web.listener import Listener

    settings = read_settings(
        host=options.host, port=options.port, data=options.data, base=options.base
    )
    licensing.check(settings)
    safety.check(settings)
    with opening.faults_said(settings):
        database = opening.opened(settings)
        opening.check(settings)
        first = first_start(settings, database)
        note_url(settings)
        database.close()
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        # until uvicorn's handlers are there; it raises them again once it is done, and then the
        # engine has its turn
        signal.signal(name, lambda *_: stopping.set())
    _banner(settings, first)
    engine = None if options.no_worker else Supervisor(settings)
    if engine:
        engine.start()
    config = uvicorn.Config(
        create_app(settings, stopping, engine.state if engine else None),
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=30,
    )
    try:
        Listener(config, stopping).run()
    finally:
        if engine:
            engine.stop()
    return {"url": settings.url}


def _banner(settings: Settings, first: tuple[str, str] | None) -> None:
    lines = [f"Fluxbooth listens on {settings.url}"]
    lines += [NANO_NOTICE] if settings.stand_in else []
    lines += licensing.notices(settings)
    if hub.local(registry.find(settings.base)) is None:
        lines += [
            (
                f"{settings.base} is not on this machine: run `fluxbooth models pull "
                f"{settings.base}`; until then its jobs fail."
            )
        ]
    if first:
        lines += [
            f"Your key, shown only now: {first[0]}",
            "Lost it? `fluxbooth key create` makes another.",
        ]
        lines += [
            "Open this link in a browser, once, within a day (`fluxbooth key link` makes another):",
            "",
            first[1],  # alone on the last line, where it is found and clicked
        ]
    print("\n".join(lines), file=sys.stderr, flush=True)


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", help="port (default: 8000)")
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of everything that is kept (default: ~/.local/share/fluxbooth)",
    )
    parser.add_argument("--base", help="base that answers every FLUX base id (default: nano)")
    parser.add_argument("--no-worker", action="store_true", help="answer requests, but do no work")
    output_flags(parser)
    parser.set_defaults(run=serve)
