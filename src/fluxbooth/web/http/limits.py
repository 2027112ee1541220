"""Limits of a request body, and the two ways one is refused."""

from __future__ import annotations

from dataclasses import dataclass

from fluxbooth.errors import InputError

KB, MB, GB = 2**10, 2**20, 2**30


class BadRequest(InputError):
    """The body cannot be understood. Status 400."""

    status = 400


class TooLarge(InputError):
    """The body, or something in it, is larger than is accepted. Status 413."""

    status = 413


@dataclass(frozen=True)
class Limits:
    """Sizes are bytes."""

    file: int = 100 * MB
    request: int = GB
    files: int = 200
    field: int = MB
    """One text field, but for a picture in base64, and an urlencoded body."""
    text: int = MB
    """A JSON body, or all text fields of a multipart body together."""
    values: int = 20_000
    """In a JSON body.

    Each takes a hundred times the memory that it has on the wire, and a moment of Python's lock.
    """
    stall: float = 30.0
    """Seconds without a byte after which an upload is given up."""


SIGN_IN = Limits(file=0, request=4 * KB, files=0, field=4 * KB, text=4 * KB)
FORM = Limits(file=0, request=256 * KB, files=0, field=256 * KB, text=256 * KB)
"""What no file belongs to."""


def of_pictures(most_mb: int, files: int = 2) -> Limits:
    """A few pictures beside some words: as files, or in base64 within the text."""
    return Limits(file=most_mb * MB, request=(files * most_mb + 17) * MB, files=files, text=16 * MB)


def format_bytes(size: int) -> str:
    """A size as a person says it: `100 MB`."""
    for unit, name in ((GB, "GB"), (MB, "MB"), (KB, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"
