"""Request bodies: whatever a client sends, as one dict of plain values.

multipart, urlencoded and JSON are told apart by what the body is rather than by what the header says, because clients send JSON as a
form and forms as JSON. Files are on disk before the dict exists.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from fluxbooth.web.limits import KB, BadRequest, Limits, TooLarge, spoken
from fluxbooth.web.multipart import Receiver, Upload
from fluxbooth.web.names import DEEPEST, MOST_PAIRS, nest
from fluxbooth.web.values import check, loads

__all__ = [
    "BadRequest",
    "Limits",
    "TooLarge",
    "Upload",
    "discard",
    "nest",
    "read",
    "unwrap",
    "uploads",
]

_PARSED_AT_ONCE = 64 * KB


async def read(request: Request, folder: Path, limits: Limits = Limits()) -> dict[str, Any]:  # noqa: B008 (it is frozen)
    """The body as a dict; an empty one as {}. Files become `Upload`s in the folder, which belong to the caller (see `discard`).

    Raises BadRequest if the body is malformed, breaks off or stalls, TooLarge if it exceeds a limit, OSError if a file cannot be
    written. Nothing stays in the folder then.
    """
    if request.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise BadRequest("The body is compressed: send it as it is, without a Content-Encoding.")
    kind, options = parse_options_header(request.headers.get("content-type"))
    most = limits.request if kind == b"multipart/form-data" else limits.text
    chunks = _chunks(request, most, limits.stall)
    if kind != b"multipart/form-data":
        raw, declared = b"".join([chunk async for chunk in chunks]), kind.decode("latin-1")
        in_thread = len(raw) > _PARSED_AT_ONCE  # megabytes of JSON take seconds, in which other requests go on
        return await anyio.to_thread.run_sync(parse_text, raw, declared) if in_thread else parse_text(raw, declared)
    first = await anext(chunks, b"")
    if not first:
        return {}
    if not options.get(b"boundary"):
        raise BadRequest("The multipart body has no boundary in its Content-Type: leave that header to the HTTP client.")
    receiver = Receiver(options[b"boundary"], folder, limits)
    pairs = await receiver.receive(_again(first, chunks))
    try:
        body = nest(pairs)
        _check(body)
    except BadRequest:
        receiver.discard()
        raise
    kept = {upload.path for upload in uploads(body)}
    for path in receiver.paths:  # a field that was given twice: the last one counts
        if path not in kept:
            path.unlink()
    return body


def parse_text(raw: bytes, declared: str = "") -> dict[str, Any]:
    """A JSON object or an urlencoded form. Raises BadRequest if it is neither."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not UTF-8.") from error
    if not text.strip():
        return {}
    form = declared == "application/x-www-form-urlencoded"
    if text.lstrip()[0] in "{[" or not (form or "=" in text):
        try:
            return _json(text)
        except ValueError as error:
            if not form:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise BadRequest(f"The body is not valid JSON: {reason[:100]}.") from error
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PAIRS)
    except UnicodeDecodeError as error:
        raise BadRequest("The form has text that is not UTF-8.") from error
    except ValueError as error:
        raise BadRequest(f"The form has more than {MOST_PAIRS} fields: send fewer at once.") from error
    body = nest(pairs)
    _check(body)
    return body


def unwrap(body: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under `key` (`{"tune": {...}}`), or the body itself if there is none."""
    inner = body.get(key)
    return inner if isinstance(inner, dict) else body


def uploads(value: Any) -> Iterator[Upload]:
    """Every upload in a body, at any depth."""
    if isinstance(value, Upload):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from uploads(inner)


def discard(body: dict[str, Any]) -> None:
    """Removes the files of a body that was refused. One that was moved away already is left alone."""
    for upload in uploads(body):
        upload.path.unlink(missing_ok=True)


def _json(text: str) -> dict[str, Any]:
    value = loads(text)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("it must be an object")
    return value


def _check(body: dict[str, Any]) -> None:
    try:
        check(body, levels=DEEPEST + 1)
    except ValueError as error:
        raise BadRequest(f"A field cannot be used: {error}.") from error


async def _chunks(request: Request, most: int, stall: float) -> AsyncIterator[bytes]:
    """The body as it comes, counted. A client that says beforehand that it is too large is not listened to."""
    declared = request.headers.get("content-length", "0")
    total, stream = 0, request.stream()
    while True:
        if total > most or (declared.isdecimal() and (len(declared) > 18 or int(declared) > most)):
            raise TooLarge(f"The request is larger than {spoken(most)}.")
        try:
            with anyio.fail_after(stall):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise BadRequest(f"The body stopped coming for {stall:g} seconds: send it again.") from error
        except ClientDisconnect as error:
            raise BadRequest("The connection broke off before the body was complete.") from error
        total += len(chunk)
        if chunk and total <= most:
            yield chunk


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
