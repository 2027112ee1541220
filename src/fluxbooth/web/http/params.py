"""Ids, numbers, switches and pages of lists, as addresses and queries have them."""

from __future__ import annotations

from fastapi import Request

from fluxbooth.service.contract.forms import BLANK
from fluxbooth.service.errors import Faults, Invalid, NotFound, ServiceError
from fluxbooth.types import Json

DEFAULT_LIMIT = 20
MOST = 120
LARGEST = 2**63 - 1


def page(request: Request, most_offset: int) -> Json:
    """limit, offset and before_id of a list.

    Raises Invalid for those that are no numbers, all at once.
    """
    asked, faults = dict[str, int | None](), Faults()
    for name in ("limit", "per_page", "offset", "page", "before_id"):
        with faults.gathered():
            asked[name] = number(request, name)
    faults.tell()
    limit = min(MOST, max(1, asked["limit"] or asked["per_page"] or DEFAULT_LIMIT))
    offset = (
        asked["offset"] if asked["offset"] is not None else (max(1, asked["page"] or 1) - 1) * limit
    )
    if not 0 <= offset <= most_offset:
        raise ServiceError(
            f"The offset must be 0 to {most_offset}: page on with before_id, the lowest id so far.",
            400,
        )
    return {"limit": limit, "offset": offset, "before": asked["before_id"]}


def number(request: Request, name: str) -> int | None:
    """A number of the query; one that is larger than any id is the largest. Raises Invalid for what
    is none: left out, it would be answered with another list than the one that was asked for.
    """
    text = (request.query_params.get(name) or "").strip()
    if text in BLANK:
        return None
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise Invalid({name: ["must be a whole number"]})
    largest = -LARGEST if text.startswith("-") else LARGEST
    return int(text) if len(text) < len(str(LARGEST)) else largest


def row_id(text: str) -> int:
    """An id in a path. What is no number, or larger than any id, is not found."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise NotFound
    return int(text)


def is_true(text: str | None) -> bool:
    """Whether a filter of the query is switched on."""
    return (text or "").lower() in ("1", "true", "t", "on")
