"""What a request can be told. Every answer carries the union of what known clients read: a field map, `base` and `error`."""

from __future__ import annotations

from typing import Any

from fluxbooth.errors import InputError


class ServiceError(InputError):
    """An answer that is no success. `status` is HTTP's."""

    status = 422

    def __init__(self, message: str, status: int | None = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status or self.status, headers or {}

    def body(self) -> dict[str, Any]:
        return {"error": str(self), "base": [str(self)]}


class Invalid(ServiceError):
    """Fields that will not do, all at once: {"cfg_scale": ["must be less than 5"]}."""

    def __init__(self, fields: dict[str, list[str]]) -> None:
        self.fields = fields
        self.sentences = [_sentence(name, message) for name, messages in fields.items() for message in messages]
        super().__init__(", ".join(self.sentences))

    def body(self) -> dict[str, Any]:
        return {**self.fields, "base": self.sentences, "error": str(self)}


def _sentence(name: str, message: str) -> str:
    """What begins with a capital is a sentence already; "must be less than 5" lacks its field."""
    return message if message[:1].isupper() else f"{name.replace('_', ' ').capitalize()} {message}"


class NotFound(ServiceError):
    status = 404

    def __init__(self, message: str = "Not Found") -> None:
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        return {"error": str(self), "status": 404}
