"""POST /images/inspect: what a photo is good for, before a tune is made of it."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

from fluxbooth.service.errors import Invalid
from fluxbooth.service.fetch import FetchError, fetch, rules_for
from fluxbooth.service.inspect import inspect
from fluxbooth.web import requests
from fluxbooth.web.forms import Upload
from fluxbooth.web.requests import Owner, Using

router = APIRouter()
FIELDS = {"name": {"type": "string"}, "file": {"type": "string", "format": "binary"}, "file_url": {"type": "string"}}
SCHEMA = {"requestBody": {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": FIELDS}}}}}


@router.post("/images/inspect", summary="Measure a photo", openapi_extra=SCHEMA)
async def inspect_image(request: Request, services: Using, account: Owner) -> dict[str, Any]:
    async with requests.body(request, services, "image") as (values, _):
        file, url = values.get("file"), values.get("file_url")
        url = file if isinstance(file, str) and file.strip() else url
        async with requests.DECODING:
            if isinstance(file, Upload):
                return await asyncio.to_thread(inspect, file.path, services.settings.base)
            if not isinstance(url, str) or not url.strip():
                raise Invalid({"file": ["can't be blank"]})
            target = services.store.incoming / f"inspect-{secrets.token_hex(8)}"
            return await asyncio.to_thread(_fetched, url.strip(), target, services)


def _fetched(url: str, target: Path, services: Using) -> dict[str, Any]:
    try:
        fetch(url, target, rules_for(services.settings))
        return inspect(target, services.settings.base)
    except FetchError as error:
        raise Invalid({"file_url": [str(error)]}) from None
    finally:
        target.unlink(missing_ok=True)
