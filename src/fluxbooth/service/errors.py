"""Refusals of a request, with their status.

Every answer carries the union of what known clients read: a field map, `base`, `error` and
`message`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import Any

from fluxbooth.errors import InputError


class ServiceError(InputError):
    """An answer that is no success. `status` is HTTP's."""

    status = 422

    def __init__(
        self, message: str, status: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status or self.status, headers or {}

    def body(self) -> dict[str, Any]:
        return {"error": str(self), "message": str(self), "base": [str(self)]}


class Invalid(ServiceError):
    """Fields that will not do, all at once: {"cfg_scale": ["must be less than 5"]}."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self.fields = fields
        self.sentences = [
            _sentence(name, message) for name, messages in fields.items() for message in messages
        ]
        super().__init__(", ".join(self.sentences))

    def body(self) -> dict[str, Any]:
        return {**self.fields, "base": self.sentences, "error": str(self), "message": str(self)}


def _sentence(name: str, message: str) -> str:
    """What begins with a capital is a sentence already; "must be less than 5" lacks its field.
    One of a nested object keeps its index."""
    field = name if "[" in name else name.replace("_", " ").capitalize()
    return message if message[:1].isupper() and field != name else f"{field} {message}"


class Faults(dict[str, list[str]]):
    """What was found in several places, to be told all at once: a field map that grows."""

    def add(self, fields: Mapping[str, list[str]], at: str = "") -> None:
        """`at` is where in the request they are: `prompts_attributes[1]`."""
        for name, messages in fields.items():
            inside = "" if name == "body" else f"[{name}]"
            place = at + inside if at else name
            known = self.get(place, [])
            self[place] = known + [message for message in messages if message not in known]

    @contextlib.contextmanager
    def gathered(self, at: str = "") -> Generator[None]:
        """Keeps what is raised as Invalid inside."""
        try:
            yield
        except Invalid as error:
            self.add(error.fields, at)

    def tell(self) -> None:
        """Raises Invalid, if there is anything to tell."""
        if self:
            raise Invalid(dict(self))


class NotFound(ServiceError):
    status = 404

    def __init__(self, message: str = "Not Found") -> None:
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        return super().body() | {"status": 404}
