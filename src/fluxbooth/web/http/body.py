"""Request bodies: whatever a client sends, as one dict of plain values.

multipart, urlencoded and JSON are told apart by what the body is rather than by what the header
says, because clients send JSON as a form and forms as JSON. Files are on disk before the dict
exists, and so are pictures in base64 (see `encoded`). A long text waits on disk for its turn to be
parsed: parsing holds Python's lock, so it is one text at a time, and of so many values at most.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl

import anyio
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect, Request

from fluxbooth.service.contract.json_values import check, loads
from fluxbooth.service.errors import Invalid
from fluxbooth.types import is_list, is_object
from fluxbooth.web.http import base64_files
from fluxbooth.web.http.bracket_names import DEEPEST, MOST_PAIRS, nest
from fluxbooth.web.http.limits import KB, BadRequest, Limits, TooLarge, format_bytes
from fluxbooth.web.http.multipart import Receiver, Upload

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

_LONG = 64 * KB  # a text that is longer waits on disk, and is parsed in a thread
_ESCAPES = 500_000  # of JSON: a picture of 16 MB has 250,000, where `/` is written as `\\/`


Turn = AbstractAsyncContextManager[object]


async def read(request: Request, folder: Path, limits: Limits, turn: Turn) -> dict[str, Any]:
    """The body as a dict; an empty one as {}. Files become `Upload`s in the folder, which belong to
    the caller (see `discard`).

    `turn` is entered while what took long to come is parsed.

    Raises BadRequest if the body is malformed, breaks off or stalls, TooLarge if it exceeds a
    limit, OSError if a file cannot be written. Nothing stays in the folder then.
    """
    if request.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
        raise BadRequest("The body is compressed: send it as it is, without a Content-Encoding.")
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data":
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.SpooledTemporaryFile(_LONG, dir=str(folder)) as kept:
            async for chunk in _few_values(
                _chunks(request, limits.text, limits.stall), limits.values
            ):
                kept.write(chunk)
            declared = kind.decode("latin-1")
            if kept.tell() <= _LONG:
                return _parsed(kept, declared, folder, limits)
            async with turn:
                return await anyio.to_thread.run_sync(_parsed, kept, declared, folder, limits)
    chunks = _chunks(request, limits.request, limits.stall)
    first = await anext(chunks, b"")
    if not first:
        return {}
    if not options.get(b"boundary"):
        raise BadRequest(
            "The multipart body has no boundary in its Content-Type: leave that header to "
            "the HTTP client."
        )
    receiver = Receiver(options[b"boundary"], folder, limits)
    pairs = await receiver.receive(_again(first, chunks))
    try:
        body = nest(pairs)
        _check(body)
        if any(upload.encoded for upload in uploads(body)):
            async with turn:
                await anyio.to_thread.run_sync(base64_files.to_files, body, folder, limits)
    except (BadRequest, Invalid):
        receiver.discard()
        raise
    kept = {upload.path for upload in uploads(body)}
    for path in receiver.paths:  # a field that was given twice: the last one counts
        if path not in kept:
            path.unlink()
    return body


def _parsed(kept: IO[bytes], declared: str, folder: Path, limits: Limits) -> dict[str, Any]:
    kept.seek(0)
    body = parse_text(kept.read(), declared, limits.field)
    base64_files.to_files(body, folder, limits)
    return body


def parse_text(raw: bytes, declared: str = "", longest_form: int = Limits.field) -> dict[str, Any]:
    """A JSON object or an urlencoded form.

    Raises BadRequest if it is neither, TooLarge for a form that is too long.
    """
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
    if len(raw) > longest_form:
        raise TooLarge(
            f"The form is larger than {format_bytes(longest_form)}: send a picture as a file."
        )
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PAIRS)
    except UnicodeDecodeError as error:
        raise BadRequest("The form has text that is not UTF-8.") from error
    except ValueError as error:
        raise BadRequest(
            f"The form has more than {MOST_PAIRS} fields: send fewer at once."
        ) from error
    body = nest(pairs)
    _check(body)
    return body


def unwrap(body: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under `key` (`{"tune": {...}}`), or the body itself if there is none."""
    inner = body.get(key)
    return inner if is_object(inner) else body


def uploads(value: Any) -> Iterator[Upload]:
    """Every upload in a body, at any depth."""
    if isinstance(value, Upload):
        yield value
    elif is_object(value) or is_list(value):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from uploads(inner)


def discard(body: dict[str, Any]) -> None:
    """Removes the files of a body that was refused.

    One that was moved away already is left alone.
    """
    for upload in uploads(body):
        upload.path.unlink(missing_ok=True)


def _json(text: str) -> dict[str, Any]:
    value = loads(text)
    if value is None:
        return {}
    if not is_object(value):
        raise ValueError("it must be an object")
    return value


def _check(body: dict[str, Any]) -> None:
    try:
        check(body, levels=DEEPEST + 1)
    except ValueError as error:
        raise BadRequest(f"A field cannot be used: {error}.") from error


async def _chunks(request: Request, most: int, stall: float) -> AsyncIterator[bytes]:
    """The body as it comes, counted.

    A client that says beforehand that it is too large is not listened to.
    """
    declared = request.headers.get("content-length", "0")
    total, stream = 0, request.stream()
    while True:
        if total > most or (declared.isdecimal() and (len(declared) > 18 or int(declared) > most)):
            raise TooLarge(f"The request is larger than {format_bytes(most)}.")
        try:
            with anyio.fail_after(stall):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise BadRequest(
                f"The body stopped coming for {stall:g} seconds: send it again."
            ) from error
        except ClientDisconnect as error:
            raise BadRequest("The connection broke off before the body was complete.") from error
        total += len(chunk)
        if chunk and total <= most:
            yield chunk


async def _few_values(chunks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """The chunks, while few enough values can be in them.

    Commas and brackets of texts count too: it is a bound, found without parsing.
    """
    values = escapes = 0
    async for chunk in chunks:
        values += sum(map(chunk.count, (b",", b"[", b"{")))
        escapes += chunk.count(b"\\")
        if values > most or escapes > _ESCAPES:
            raise TooLarge(f"The body has more than {most:,} values: send fewer at once.")
        yield chunk


async def _again(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk
