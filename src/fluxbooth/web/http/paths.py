"""Paths as clients write them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

LONGEST_PATH = 2000


class PlainPaths:
    """`/tunes/7.json` and `/tunes/7/` are `/tunes/7`: answered directly, for clients lose their
    key on a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["path"] not in ("/", "/openapi.json")
            and not scope["path"].startswith("/files/")
        ):
            path = scope["path"].rstrip("/").removesuffix(".json") or "/"
            scope = {**scope, "path": path[:LONGEST_PATH], "raw_path": path[:LONGEST_PATH].encode()}
        await self.app(scope, receive, send)
