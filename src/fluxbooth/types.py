"""Types that everything shares, and what tells them apart."""

from __future__ import annotations

from typing import Any, TypeGuard

Json = dict[str, Any]
"""An object of JSON, or what will be one."""


def is_object(value: object) -> TypeGuard[Json]:
    """Whether what JSON or a form held is an object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether what JSON or a form held is a list."""
    return isinstance(value, list)
