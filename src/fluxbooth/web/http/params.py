"""Ids and numbers, as addresses and queries have them."""

from __future__ import annotations

from fastapi import Request

from fluxbooth.service.contract import queries
from fluxbooth.service.errors import Invalid, NotFound


def number(request: Request, name: str) -> int | None:
    """A number of the query. Raises Invalid for what is none."""
    try:
        return queries.number(request.query_params.get(name))
    except ValueError as error:
        raise Invalid({name: [str(error)]}) from None


def row_id(text: str) -> int:
    """An id in a path. What is no number, or larger than any id, is not found."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise NotFound
    return int(text)
