"""POST /images/inspect: what a photo is good for, before a tune is made of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path
from typing import cast

import numpy as np
from fastapi import APIRouter, Request

from fluxbooth.service.claude import photo_inspection
from fluxbooth.service.contract import response_models
from fluxbooth.service.errors import Invalid
from fluxbooth.service.outgoing.fetch import FetchError, fetch, rules_for
from fluxbooth.types import Json
from fluxbooth.web.http import requests
from fluxbooth.web.http.auth import Owner, Using
from fluxbooth.web.http.body import Upload
from fluxbooth.web.http.limits import of_pictures

router = APIRouter()
FIELDS = {
    "name": {"type": "string"},
    "file": {"type": "string", "format": "binary"},
    "file_url": {"type": "string"},
}
SCHEMA = {
    "requestBody": {
        "content": {"multipart/form-data": {"schema": {"type": "object", "properties": FIELDS}}}
    }
}


@router.post("/images/inspect", summary="Look at a photo", openapi_extra=SCHEMA)
async def inspect_image(request: Request, services: Using, account: Owner) -> response_models.Photo:
    """Measured attributes, and those that Claude sees where the server has a key.

    What could not be told is left out.
    """
    async with requests.body(
        request, services, "image", of_pictures(services.settings.image_mb, files=1)
    ) as (values, _):
        path = await asyncio.get_running_loop().run_in_executor(
            services.inspecting, _photo, values, services
        )
        until = time.monotonic() + services.settings.inspect_seconds
        try:
            async with services.decoding.turn(account.id):
                shown, pixels = await asyncio.to_thread(
                    photo_inspection.measured, path, services.settings.base
                )
        finally:
            path.unlink(missing_ok=True)
        if photo_inspection.claude_looks(services.settings):
            shown |= await _seen(services, pixels, str(values.get("name") or ""), until)
        if not set(shown) >= photo_inspection.PEOPLE:
            async with services.decoding.turn(account.id):
                found = await asyncio.to_thread(photo_inspection.people, pixels)
            shown |= {name: value for name, value in found.items() if name not in shown}
        return cast(response_models.Photo, shown)


def _photo(values: Json, services: Using) -> Path:
    """The file that came, or what the address gives."""
    file, url = values.get("file"), values.get("file_url")
    if isinstance(file, Upload):
        return file.path
    url = file if isinstance(file, str) and file.strip() else url
    if not isinstance(url, str) or not url.strip():
        raise Invalid({"file": ["can't be blank"]})
    target = services.store.incoming / f"inspect-{secrets.token_hex(8)}"
    try:
        return fetch(url.strip(), target, rules_for(services.settings)).path
    except FetchError as error:
        raise Invalid({"file_url": [str(error)]}) from None


async def _seen(services: Using, pixels: np.ndarray, expected: str, until: float) -> Json:
    """What Claude sees.

    The answer goes out in time whatever Claude does; a thread that still waits for it ends by
    itself.
    """
    look = asyncio.get_running_loop().run_in_executor(
        services.inspecting, photo_inspection.seen, services.settings, pixels, expected, until
    )
    try:
        return await asyncio.wait_for(look, max(0.0, until - time.monotonic()))
    except TimeoutError:
        return photo_inspection.late()
