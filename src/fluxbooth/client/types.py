"""Results of the client: frozen rows with the contract's fields, and the one error."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeGuard

from fluxbooth.errors import FluxboothError
from fluxbooth.prompts.language import trigger_words
from fluxbooth.types import Json, is_list, is_object

State = Literal["queued", "running", "done", "failed"]
LONGEST = 300


class ApiError(FluxboothError):
    """The server refused.

    `status` is HTTP's; `fields` says what is wrong with which field: {"cfg_scale": ["must be less
    than 5"]}.
    """

    def __init__(
        self, message: str, status: int, fields: dict[str, list[str]] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.fields = status, fields or {}


@dataclass(frozen=True)
class Progress:
    """One look at work under way. `waited` and `seconds_left` are seconds, `fraction` is 0-1; the
    last two are None where the server does not say.
    """

    id: int
    state: State
    waited: float
    fraction: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Resource:
    """`raw` is the whole object as the server sent it."""

    id: int
    raw: Json = field(repr=False, compare=False)
    REQUIRED: ClassVar[tuple[str, ...]] = ("id",)

    @classmethod
    def read(cls, row: Any) -> Self:
        """Raises ApiError for what is no such object."""
        if (
            not is_object(row)
            or not isinstance(row.get("id"), int)
            or any(name not in row for name in cls.REQUIRED)
        ):
            raise ApiError(
                (
                    f"The server answered with something that is no {cls.__name__.lower()}: is "
                    "this the address of the API?"
                ),
                200,
            )
        return cls(raw=row, **cls.fields(row))

    @classmethod
    def fields(cls, row: Json) -> Json:
        return {"id": row["id"]}

    @property
    def finished(self) -> bool:
        """Whether nothing more will come."""
        return True

    @property
    def user_error(self) -> str | None:
        """Why it failed, if it did."""
        said = self.raw.get("user_error") or self.raw.get("error")
        return str(said) if said else None

    @property
    def state(self) -> State:
        """queued, running, done or failed."""
        if self.user_error:
            return "failed"
        return (
            "done"
            if self.finished
            else "running"
            if self.raw.get("started_training_at")
            else "queued"
        )


@dataclass(frozen=True)
class Tune(Resource):
    """A subject learnt, or to be learnt.

    `name` is the class word, `token` the rare word. Times are aware datetimes; `trained_at` is None
    until it is trained, `expires_at` None if it stays.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("id", "title", "name", "trained_at")
    title: str
    name: str
    token: str | None
    model_type: str | None
    base_tune_id: int | None
    created_at: datetime.datetime | None
    trained_at: datetime.datetime | None
    expires_at: datetime.datetime | None
    prompts: tuple[Prompt, ...]

    @classmethod
    def fields(cls, row: Json) -> Json:
        times = {name: _time(row.get(name)) for name in ("created_at", "trained_at", "expires_at")}
        plain = {
            name: row.get(name)
            for name in ("id", "title", "name", "token", "model_type", "base_tune_id")
        }
        return {
            **plain,
            **times,
            "prompts": tuple(Prompt.read(prompt) for prompt in row.get("prompts") or ()),
        }

    @property
    def finished(self) -> bool:
        return self.trained_at is not None

    @property
    def trigger(self) -> str:
        """The words that mean the subject: `ohwx man`."""
        return trigger_words(self.token or "", self.name)

    def mention(self, text: str, weight: float = 1.0) -> str:
        """The text with this tune's tag, and its trigger words unless it holds them. Reference
        pictures, which are tunes of the type faceid, have none."""
        kind = "faceid" if self.model_type == "faceid" else "lora"
        if f"<{kind}:{self.id}:" in text:
            return text
        said = self.trigger.lower() in " ".join(text.lower().split()) or kind == "faceid"
        return f"<{kind}:{self.id}:{weight}> {'' if said else f'{self.trigger} '}{text}"


@dataclass(frozen=True)
class Prompt(Resource):
    """A text drawn, or to be drawn.

    `images` are addresses that need no key; empty until it is done.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("id", "text", "trained_at")
    tune_id: int | None
    text: str
    num_images: int
    created_at: datetime.datetime | None
    trained_at: datetime.datetime | None
    images: tuple[str, ...]

    @classmethod
    def fields(cls, row: Json) -> Json:
        times = {name: _time(row.get(name)) for name in ("created_at", "trained_at")}
        images = tuple(image for image in row.get("images") or () if isinstance(image, str))
        return {
            "id": row["id"],
            "tune_id": row.get("tune_id"),
            "text": row["text"],
            "num_images": row.get("num_images") or 1,
            **times,
            "images": images,
        }

    @property
    def finished(self) -> bool:
        return self.trained_at is not None


@dataclass(frozen=True)
class Pack(Resource):
    """Texts that go together. `classes` are the kinds of subject that it has texts for."""

    REQUIRED: ClassVar[tuple[str, ...]] = ("id", "title")
    slug: str | None
    title: str
    classes: tuple[str, ...]

    @classmethod
    def fields(cls, row: Json) -> Json:
        classes: Json = row.get("costs") or row.get("cost_mc_hash") or {}
        return {
            "id": row["id"],
            "slug": row.get("slug"),
            "title": row["title"],
            "classes": tuple(classes),
        }


def refused(status: int, body: Any, url: str) -> ApiError:
    """An answer that is no success as one sentence, from whichever of the known shapes the
    server uses."""
    known = body if is_object(body) else {}
    shown = {
        k: v for k, v in known.items() if k not in ("error", "message", "base", "errors", "status")
    }
    fields = {str(k): [str(item) for item in v] for k, v in shown.items() if is_list(v)}
    base = known.get("base") or known.get("errors")
    listed = ", ".join(map(str, base)) if is_list(base) else ""
    told = ", ".join(
        f"{name} {message}" for name, messages in fields.items() for message in messages
    )
    said = next(
        (
            one
            for one in (known.get("error"), known.get("message"), listed, told)
            if isinstance(one, str) and one
        ),
        "",
    )
    if status == 404 and said in ("", "Not Found"):
        said = f"There is nothing at {url}: check the id, and whose key this is"
    sentence = " ".join((said or f"{url} answered with status {status}").split())[:LONGEST]
    return ApiError(
        sentence if sentence.endswith((".", "!", "?")) else sentence + ".", status, fields
    )


def bracketed(key: str, value: Any) -> dict[str, Any]:
    """Nested values as the fields of a form: `tune[title]`, `tune[ids][]`,
    `tune[prompts_attributes][0][text]`."""
    if is_object(value):
        pairs = [(f"{key}[{name}]", inner) for name, inner in value.items()]
    elif _is_sequence(value) and any(is_object(inner) for inner in value):
        pairs = [(f"{key}[{number}]", inner) for number, inner in enumerate(value)]
    elif _is_sequence(value):
        return {f"{key}[]": [_text(inner) for inner in value]}
    else:
        return {} if value is None else {key: _text(value)}
    return {
        name: inner for part, nested in pairs for name, inner in bracketed(part, nested).items()
    }


def _is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """Whether a value is what JSON writes as a list."""
    return isinstance(value, list | tuple)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _time(value: Any) -> datetime.datetime | None:
    """A time as servers write it; what cannot be read still says that it has come."""
    if not value:
        return None
    try:
        return datetime.datetime.fromisoformat(str(value))
    except ValueError:
        return datetime.datetime.min.replace(tzinfo=datetime.UTC)
