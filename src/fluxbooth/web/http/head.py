"""HEAD: what GET would answer, without its body."""

from __future__ import annotations

from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxbooth.web.http.middleware import in_the_app

LOOKS_ONLY = "fluxbooth.looks_only"  # in the scope: whatever GET would do, this does not


class HeadOfPages:
    """For the pages of the app, which tools that check addresses ask so; a program of the API
    has no use for it. A page that would change something asks `looks_only`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or not in_the_app(scope["path"]):
            await self.app(scope, receive, send)
            return

        async def without_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self.app({**scope, "method": "GET", LOOKS_ONLY: True}, receive, without_body)


def looks_only(request: Request) -> bool:
    """Whether a request that reads GET came as HEAD, which changes nothing."""
    return request.scope.get(LOOKS_ONLY, False)
