"""The frame of every request: its id, one line in the log, its time for Prometheus, and headers
that every answer has."""

from __future__ import annotations

import secrets
import time

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxbooth import log
from fluxbooth.service.errors import ServiceError
from fluxbooth.web.http import metrics
from fluxbooth.web.http.headers import HEADERS

JSON = b"application/json"
FAULT = ServiceError("A fault of the server: its log says more.").body()
PAGES = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class Observed:
    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        number, began, answer = secrets.token_hex(8), time.perf_counter(), Answer()

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.seconds = message["status"], time.perf_counter() - began
                message = {**message, "headers": _headers(message, scope["path"], number)}
            await send(message)

        with log.about(request=number):
            try:
                await self.app(scope, receive, observed)
            # of ours: the client learns no more than that, the log where it was
            except Exception as fault:
                log.error(fault)
                if answer.seconds == 0.0:
                    await JSONResponse(FAULT, 500)(scope, receive, observed)
            finally:
                # the pattern of the route: a path may hold what is nobody's business
                route = getattr(scope.get("route"), "path", "unknown")
                metrics.answered(scope["method"], route, answer.status, answer.seconds)
                log.write(
                    "request",
                    method=scope["method"],
                    route=route,
                    status=answer.status,
                    ms=round(answer.seconds * 1000, 1),
                )


class Answer:
    """Until it begins, a fault."""

    status, seconds = 500, 0.0


def _headers(message: Message, path: str, number: str) -> list[tuple[bytes, bytes]]:
    headers = [
        (name, value + b"; charset=utf-8" if value == JSON else value)
        for name, value in message.get("headers", ())
    ]
    headers += [(b"x-request-id", number.encode()), (b"x-content-type-options", b"nosniff")]
    page = any(
        name == b"content-type" and value.startswith(b"text/html") for name, value in headers
    )
    if not (page or in_the_app(path)):
        return headers
    own = {name.lower() for name, _ in headers}  # a page that stands alone says what it needs
    return headers + [(name, value) for name, value in PAGES if name not in own]


def in_the_app(path: str) -> bool:
    """Whether a person is answered, with pages, rather than a program."""
    return path == "/app" or path.startswith("/app/")
