"""What may be asked of lists and estimates in the address. As leniently read as forms: blank is
not given, a number too large for an id is the largest, and what is unknown is ignored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema

from fluxbooth.service.contract.forms import BLANK, TrainingFields, field_map
from fluxbooth.service.errors import Invalid, ServiceError
from fluxbooth.types import Json

DEFAULT_LIMIT = 20
MOST = 120
LARGEST = 2**63 - 1


def number(given: str | None) -> int | None:
    """A number of the query; one that is larger than any id is the largest.

    Raises ValueError for what is none: left out, it would be answered with another list than the
    one that was asked for.
    """
    text = (given or "").strip()
    if text in BLANK:
        return None
    if not (text.isascii() and text.removeprefix("-").isdecimal()):
        raise ValueError("must be a whole number")
    largest = -LARGEST if text.startswith("-") else LARGEST
    return int(text) if len(text) < len(str(LARGEST)) else largest


def is_true(given: str | None) -> bool:
    """Whether a filter of the query is switched on."""
    return (given or "").lower() in ("1", "true", "t", "on")


def _switch(given: str | None) -> bool | None:
    return is_true(given) if given else None


def refused(errors: Iterable[Any]) -> Invalid:
    """FastAPI's errors, which begin with the part of the request, in the contract's shape."""
    return Invalid(field_map({**row, "loc": row["loc"][1:]} for row in errors))


Number = Annotated[int | None, BeforeValidator(number), WithJsonSchema({"type": "integer"})]
Switch = Annotated[bool | None, BeforeValidator(_switch), WithJsonSchema({"type": "boolean"})]
Word = Annotated[str | None, WithJsonSchema({"type": "string"})]


class Page(BaseModel):
    """One page of a list, newest first: `before_id` is the lowest id so far."""

    limit: Number = None
    per_page: Number = None
    offset: Number = None
    page: Number = None
    before_id: Number = None

    def rows(self, most_offset: int) -> Json:
        """limit, offset and before of the rows. Raises ServiceError for an offset over the most."""
        limit = min(MOST, max(1, self.limit or self.per_page or DEFAULT_LIMIT))
        offset = self.offset if self.offset is not None else (max(1, self.page or 1) - 1) * limit
        if not 0 <= offset <= most_offset:
            raise ServiceError(
                f"The offset must be 0 to {most_offset}: page on with before_id, the lowest id "
                "so far.",
                400,
            )
        return {"limit": limit, "offset": offset, "before": self.before_id}


class TuneList(Page):
    title: Word = None
    name: list[str] = Field(default_factory=list)
    names: list[str] = Field(default_factory=list, alias="name[]")
    model_type: Word = None
    branch: Word = None


class BaseList(Page):
    """Of the bases. They are no LoRAs: of a model type there is none."""

    title: Word = None
    branch: Word = None
    model_type: Word = None


class TunePromptList(Page):
    """Of the prompts of one tune."""

    text: Word = None
    liked: Switch = None
    today: Switch = None
    is_video: Switch = None
    pack_id: Number = None
    base_pack_id: Number = None
    orig_prompt_id: Number = None
    order_id: Number = None
    user_id: Number = None


class PromptList(TunePromptList):
    tune_id: Number = None


class PackList(Page):
    public: Switch = None
    listed: Switch = None


class TuneDeletion(BaseModel):
    delete_prompts: Switch = None


class TrainingPlan(TrainingFields):
    """A training that is thought of, on so many photos."""

    photos: Number = None
