"""Pages, scripts and styles travel compressed; pictures are so already, and the API's answers are
small and asked for too often."""

from __future__ import annotations

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from fluxbooth.web.http.middleware import in_the_app

SMALLEST = 1000  # bytes; below, the header takes what is gained


class CompressedPages:
    def __init__(self, app: ASGIApp) -> None:
        self.plain, self.compressed = app, GZipMiddleware(app, SMALLEST, compresslevel=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = scope["type"] == "http" and in_the_app(scope["path"])
        await (self.compressed if page else self.plain)(scope, receive, send)
