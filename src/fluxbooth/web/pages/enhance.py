"""What can be done to one picture in the web app: made larger, its faces, its background, beyond
its edges, a part of it by words; and the picture before that, to be held beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse, Response
from sqlalchemy.orm import Session

from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import NotFound
from fluxbooth.service.files.store import KINDS
from fluxbooth.service.prompts import input_images, pictures, prompts
from fluxbooth.types import Json
from fluxbooth.web.http import body, requests
from fluxbooth.web.http.auth import Using
from fluxbooth.web.http.idempotency import Answer
from fluxbooth.web.http.params import row_id
from fluxbooth.web.pages import deeds, once
from fluxbooth.web.pages.gallery import new_card
from fluxbooth.web.pages.login import PartViewer, Viewer, same_origin
from fluxbooth.web.state import Services

FIELDS = "deed", "side", "words", "text", "once"
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.post("/pictures/{name}/enhance")
async def enhance(name: str, request: Request, services: Using, account: Viewer) -> Response:
    """A new prompt, of the picture with what the button said; a script gets its card."""
    whole = await requests.read(request, services)
    try:
        asked = {key: str(whole.get(key) or "") for key in FIELDS}
        made = await asyncio.to_thread(_create, request, services, account, name, asked)
    finally:
        await asyncio.to_thread(body.discard, whole)
    return await asyncio.to_thread(new_card, request, services, account, made["id"])


def _create(
    request: Request, services: Services, account: Account, name: str, asked: dict[str, str]
) -> Answer:
    def work(session: Session, owner: Account) -> Json:
        row, of = pictures.get(session, owner, name)
        made = prompts.create(
            Context.of(services, session, owner),
            PromptForm.read(deeds.fields(row, of, asked)),
            target=of.tune_id,
            start=input_images.of_file(services.store, row.key),
        )
        return {"id": made.id}

    return once.made_once(services, account, request.url.path, dict(asked), work)


@router.get("/prompts/{prompt_id}/before")
def before(prompt_id: str, services: Using, account: PartViewer) -> FileResponse:
    """The picture that a prompt started from, as we keep it."""
    with services.db.read() as session:
        row = prompts.get(session, account, row_id(prompt_id))
        key = row.fields.get(input_images.FILES, {}).get("input_image")
    path = services.store.path(key) if key else Path()
    if not key or not path.is_file():
        raise NotFound
    headers = {"Cache-Control": "private, max-age=86400"}
    return FileResponse(path, media_type=KINDS[path.suffix], headers=headers)
