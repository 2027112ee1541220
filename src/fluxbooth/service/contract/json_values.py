"""JSON that other programs can read again, and values that a database can hold."""

from __future__ import annotations

import json
import math
from typing import Any

from fluxbooth.types import is_list, is_object

LONGEST_NUMBER = 1000  # characters


def loads(text: str) -> Any:
    """JSON without what other programs cannot read again: NaN, infinities, NUL, lone surrogates, 33
    levels and more.

    Raises ValueError.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    check(value)
    return value


def check(value: Any, levels: int = 32) -> None:
    """Raises ValueError for text that cannot be stored, or a value nested deeper than `levels`."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("it holds a NUL character")
        if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
            raise ValueError("it holds half of a character")
    elif is_object(value) or is_list(value):
        if not levels:
            raise ValueError("it is nested too deeply")
        if isinstance(value, dict):
            for key in value:
                check(key)
        for inner in value.values() if isinstance(value, dict) else value:
            check(inner, levels - 1)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(text: str) -> float:
    if len(text) > LONGEST_NUMBER:  # reading a million digits takes a second
        raise ValueError(f"a number has more than {LONGEST_NUMBER} digits")
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
