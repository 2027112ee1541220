"""Files over HTTP: generated pictures at addresses that nobody guesses, everything else at
signed ones that close after a day."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from sqlalchemy import select

from fluxbooth.service.db.tables import Image, Prompt
from fluxbooth.service.errors import NotFound
from fluxbooth.service.files.store import KINDS

router = APIRouter(include_in_schema=False)
# in no cache but the browser's, and not for long: what is deleted is gone
HOUR = "private, max-age=3600"


@router.api_route("/images/{name}", methods=["GET", "HEAD"])
def image(name: str, request: Request) -> FileResponse:
    services = request.app.state.services
    with services.db.read() as session:
        key = session.scalar(
            select(Image.key)
            .join(Prompt)
            .where(Image.name == name.partition(".")[0], Prompt.deleted_at.is_(None))
        )
    if key is None or not services.store.path(key).is_file():
        raise NotFound
    path = services.store.path(key)
    return FileResponse(path, media_type=KINDS[path.suffix], headers={"Cache-Control": HOUR})


@router.api_route("/files/{key:path}", methods=["GET", "HEAD"])
def file(key: str, request: Request, expires: str = "", signature: str = "") -> FileResponse:
    services = request.app.state.services
    path = services.store.path(key)
    if not services.sign.opens(key, expires, signature) or not path.is_file():
        raise NotFound
    # what was uploaded is never shown as a page
    return FileResponse(
        path,
        media_type=KINDS.get(path.suffix, "application/octet-stream"),
        headers={"Cache-Control": HOUR},
    )
