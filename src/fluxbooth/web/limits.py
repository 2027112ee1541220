"""How much a request body may hold, and the two ways one is refused."""

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
    """One text field. Names that end in `_base64` may use all of `text`."""
    text: int = 16 * MB
    """A JSON or urlencoded body, or all text fields of a multipart body together."""
    stall: float = 30.0
    """Seconds without a byte after which an upload is given up."""


def spoken(size: int) -> str:
    """A size as a person says it: `100 MB`."""
    for unit, name in ((GB, "GB"), (MB, "MB"), (KB, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} bytes"
