"""Bracket names to nested values, by the rule of Rails and Rack.

| name               | becomes                                                                     |
|--------------------|-----------------------------------------------------------------------------|
| `tune[title]`      | `{"tune": {"title": v}}`                                                    |
| `tune[images][]`   | a list that grows by one                                                    |
| `tune[images][7]`  | a list; the number says only the order                                      |
| `prompts[][text]`  | a list of objects; a new one begins when a key repeats in the current one   |
| `name` given twice | the last one                                                                |
| `a[b`, `[a]`       | no brackets are understood: a key of that very name                         |
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from fluxbooth.types import is_list, is_object
from fluxbooth.web.http.limits import BadRequest

DEEPEST = 8
MOST_PAIRS = 2000
_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)", re.DOTALL)
_INDEX = re.compile(r"[0-9]{1,9}")  # a longer number is a key like any other


def keys_of(name: str) -> list[str]:
    """`a[b][][c]` as `["a", "b", "", "c"]`; an empty key is a push."""
    match = _NAME.fullmatch(name)
    return [match[1], *(key[:-1] for key in match[2].split("[")[1:])] if match else [name]


def nest(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Nested dicts and lists from bracket names. Values are texts or uploads and stay as they are.

    Raises BadRequest for more than 2,000 pairs, more than 8 keys in a name, or one name used as two
    kinds of thing.
    """
    root: dict[str, Any] = {}
    for count, (name, value) in enumerate(pairs, 1):
        if count > MOST_PAIRS:
            raise BadRequest(f"The request has more than {MOST_PAIRS} fields: send fewer at once.")
        keys = keys_of(name)
        if len(keys) > DEEPEST:
            raise BadRequest(f"The field {_short(name)} is nested deeper than {DEEPEST} levels.")
        if name:
            _put(root, keys, value, name)
    return {key: _finish(value) for key, value in root.items()}


def ordered(numbered: dict[str, Any]) -> list[Any]:
    """The values of a dict whose keys are all numbers, by number."""
    return [numbered[key] for key in sorted(numbered, key=int)]


def is_numbered(value: dict[str, Any]) -> bool:
    return bool(value) and all(_INDEX.fullmatch(key) for key in value)


def _put(root: dict[str, Any], keys: list[str], value: Any, name: str) -> None:
    """Walks down from the root, making what is missing, and sets or pushes the value at the end."""
    place: dict[str, Any] | list[Any] = root
    for i, key in enumerate(keys[:-1]):
        rest = keys[i + 1 :]
        held = (
            _element(place, rest)
            if isinstance(place, list)
            else place.setdefault(key, _container(rest))
        )
        if not (is_list(held) if rest[0] == "" else is_object(held)):
            raise _conflict(name)
        place = held
    if isinstance(place, list):
        place.append(value)
    elif isinstance(place.get(keys[-1]), dict | list):
        raise _conflict(name)
    else:
        place[keys[-1]] = value


def _element(array: list[Any], rest: list[str]) -> Any:
    """The element of a pushed array that the rest of a name belongs to: the last one, unless
    that already has it."""
    if rest[0] == "" or not array or not is_object(array[-1]) or _has(array[-1], rest):
        array.append(_container(rest))
    return array[-1]


def _container(rest: list[str]) -> dict[str, Any] | list[Any]:
    """An empty one, for the values that the rest of a name belongs to."""
    return [] if rest[0] == "" else {}


def _has(place: Any, keys: list[str]) -> bool:
    for key in keys:
        if key == "" or not is_object(place) or key not in place:
            return False  # what is pushed can be pushed again
        place = place[key]
    return True


def _finish(value: Any) -> Any:
    if is_object(value):
        done = {key: _finish(inner) for key, inner in value.items()}
        return ordered(done) if is_numbered(done) else done
    return [_finish(inner) for inner in value] if is_list(value) else value


def _conflict(name: str) -> BadRequest:
    return BadRequest(
        f"The field {_short(name)} was given both as a value and as a list or an object: "
        "name it in one way."
    )


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
