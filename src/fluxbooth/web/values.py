"""What a client meant by a value: every encoding but JSON knows only text, and JSON clients send text too.

Each function returns None for null, for an empty text and for the texts `null` and `undefined`, and raises ValueError with the end
of a sentence (`is not a number`) that fits behind the field's name.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from fluxbooth.web.names import is_numbered, ordered

TRUE = {"true", "1", "on", "t"}
FALSE = {"false", "0", "off", "f"}
NOTHING = {"", "null", "undefined"}
LARGEST_INTEGER = 2**63 - 1  # what a database column holds
LONGEST_NUMBER = 400  # characters; what is longer fits into no float
_WHOLE = re.compile(r"[+-]?[0-9]+(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and len(value) < 32 and value.strip().lower() in NOTHING)


def as_bool(value: Any) -> bool | None:
    """`true/false`, `1/0`, `on/off`, `t/f` in any case."""
    if is_nothing(value) or isinstance(value, bool):
        return value if isinstance(value, bool) else None
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    if word not in TRUE | FALSE:
        raise ValueError("must be true or false")
    return word in TRUE


def as_int(value: Any) -> int | None:
    """A whole number that fits into 64 bits. `4.0` is one, `4.5` and `1e3` are not."""
    if is_nothing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is not a number")
    number = as_float(value)
    assert number is not None
    if isinstance(value, float) and value != int(value):
        raise ValueError("must be an integer")
    if isinstance(value, str) and not _WHOLE.fullmatch(value.strip()):
        raise ValueError("must be an integer")
    whole = int(value.strip().partition(".")[0]) if isinstance(value, str) else int(value)  # a float would round above 2^53
    if not -LARGEST_INTEGER - 1 <= whole <= LARGEST_INTEGER:
        raise ValueError("is out of range")
    return whole


def as_float(value: Any) -> float | None:
    """A finite number; never NaN or an infinity."""
    if is_nothing(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("is not a number")
    if isinstance(value, str) and (len(value) > LONGEST_NUMBER or not _NUMBER.fullmatch(value.strip())):
        raise ValueError("is not a number")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError("is out of range") from error
    if math.isnan(number):
        raise ValueError("is not a number")
    if math.isinf(number):
        raise ValueError("is out of range" if isinstance(value, str) else "is not a number")
    return number


def as_text(value: Any) -> str | None:
    """Text as it was sent, spaces and all; numbers and booleans become text."""
    if is_nothing(value):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise ValueError("must be text")
    return str(value)


def as_list(value: Any) -> list[Any]:
    """A list without its nulls. One value becomes a list of one; an object with numbers for keys, its values in order."""
    if isinstance(value, dict) and is_numbered(value):
        value = ordered(value)
    elif not isinstance(value, list | tuple):
        value = [value]
    return [item for item in value if not is_nothing(item)]


def as_object(value: Any) -> dict[str, Any] | None:
    """An object, or the JSON text of one."""
    if is_nothing(value):
        return None
    if isinstance(value, str):
        try:
            value = loads(value)
        except ValueError as error:
            raise ValueError("must be an object or its JSON text") from error
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    return value


def loads(text: str) -> Any:
    """JSON without what other programs cannot read again: NaN, infinities, NUL, lone surrogates, 33 levels and more.

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
        if not value.isascii():
            value.encode()  # UnicodeEncodeError, a ValueError, for half a surrogate pair
    elif isinstance(value, dict | list):
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
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number
