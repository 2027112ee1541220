"""A training's report as it is handed out: a page that stands alone, and may load nothing."""

from __future__ import annotations

from fastapi.responses import FileResponse

from fluxbooth.service.files.store import Store

# no scripts, no forms, no other server: its style and its pictures are within it
ALONE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"


def answer(store: Store, key: str) -> FileResponse:
    headers = {"Content-Security-Policy": ALONE, "Cache-Control": "private, no-store"}
    return FileResponse(store.path(key), media_type="text/html", headers=headers)
