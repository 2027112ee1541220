"""Everything that routes need of a request: whose it is, its body and files, its page of a list,
its idempotency key."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio.to_thread
from fastapi import Request, Response
from sqlalchemy.orm import Session

from fluxbooth.service.contract.forms import Form
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import Invalid
from fluxbooth.types import Json, is_list
from fluxbooth.web.http import body as http_body
from fluxbooth.web.http.auth import owner_of
from fluxbooth.web.http.body import Upload
from fluxbooth.web.http.idempotency import name_of
from fluxbooth.web.http.limits import FORM, MB, Limits
from fluxbooth.web.state import Services


async def read_json(
    request: Request, services: Services, work: Callable[[Session, Account], Any]
) -> Response:
    """What `work` reads for the owner of the key, as JSON.

    Clients ask for their rows every second, so key, rows and JSON take one thread and one
    transaction together.
    """

    def run() -> bytes:
        with services.db.read() as session:
            return json.dumps(
                work(session, owner_of(session, request, services)), separators=(",", ":")
            ).encode()

    return Response(
        await anyio.to_thread.run_sync(run, limiter=services.readers), media_type="application/json"
    )


async def read(request: Request, services: Services, limits: Limits = FORM) -> Json:
    """The body, of the account that the request's dependencies found.

    Its files belong to the caller (see `http_body.discard`).
    """
    account = getattr(request.state, "account", None)
    return await http_body.read(
        request,
        services.store.incoming,
        limits,
        services.parsing.turn(account.id if account else None),
    )


def of_photos(services: Services) -> Limits:
    """A whole set of photos with their captions."""
    return Limits(file=services.settings.image_mb * MB, request=services.settings.request_mb * MB)


@contextlib.asynccontextmanager
async def body(
    request: Request, services: Services, key: str, limits: Limits = FORM, beside: str = ""
) -> AsyncGenerator[tuple[Json, list[Upload]]]:
    """The object of a body and the pictures it brought; other files stay in it. What nobody
    took is removed at the end. A field that stands `beside` the object counts as one of it."""
    whole = await read(request, services, limits)
    try:
        values = dict(http_body.unwrap(whole, key))
        if beside in whole:
            values[beside] = whole[beside]
        images = values.pop("images", None)
        given = images if is_list(images) else [images]
        uploads = [item for item in given if isinstance(item, Upload)]
        addresses = [item for item in given if isinstance(item, str) and item.strip()]
        if addresses:
            known = values.get("image_urls")
            known = known if is_list(known) else [known] if known else []
            values["image_urls"] = [*known, *addresses]
        if len(uploads) + len(addresses) < len([item for item in given if item not in (None, "")]):
            raise Invalid({"images": ["must be files or addresses"]})
        request.state.files = [name_of(upload) for upload in http_body.uploads(whole)]
        yield values, uploads
    finally:
        await asyncio.to_thread(http_body.discard, whole)


def body_of(form: type[Form], key: str, *, files: bool = False) -> Json:
    """The request body in OpenAPI: the same fields wrapped in JSON, or as a form with bracket
    names."""
    schema = form.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    fields = {f"{key}[{name}]": part for name, part in schema["properties"].items()}
    if files:
        fields[f"{key}[images][]"] = {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
        }
    wrapped = {"type": "object", "properties": {key: schema}}
    bracketed = {"type": "object", "properties": fields}
    return {
        "requestBody": {
            "content": {
                "application/json": {"schema": wrapped},
                "multipart/form-data": {"schema": bracketed},
            }
        }
    }
