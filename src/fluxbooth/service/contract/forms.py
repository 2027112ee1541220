"""Request forms: the contract's fields, read leniently. Blank text is null, numbers may be text,
unknown keys are ignored."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from fluxbooth.errors import InputError
from fluxbooth.prompts import options
from fluxbooth.prompts.language import MAX_CHARACTERS
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.service.contract import json_values
from fluxbooth.service.errors import Invalid
from fluxbooth.specs import AspectRatio, Enhancements, PresetName
from fluxbooth.types import Json, is_list, is_object

BLANK = ("", "null", "undefined", None)


def _callback(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if (
        parts.scheme not in ("http", "https")
        or not parts.hostname
        or parts.username
        or len(url) > 2048
        or not url.isprintable()
    ):
        raise ValueError("must be a http or https address without a password")
    return url


def _as_list(value: Any) -> list[Any]:
    return value if is_list(value) else [value]


def _as_numbers(value: Any) -> list[Any]:
    """[7, 9], ["7", "9"], "7,9" or 7."""
    return [
        part.strip() if isinstance(part, str) else part
        for one in _as_list(value)
        for part in (one.split(",") if isinstance(one, str) else [one])
        if part not in BLANK
    ]


def _as_object(value: Any) -> Json:
    """An object may come as JSON text; values are kept as text."""
    if isinstance(value, str):
        try:
            value = json_values.loads(value)
        except json.JSONDecodeError:
            raise ValueError("must be an object") from None
        except ValueError as error:
            raise ValueError(f"cannot be kept: {error}") from None
    if not is_object(value):
        raise ValueError("must be an object")
    return {
        str(k)[:100]: v if isinstance(v, (bool, int, float)) or v is None else str(v)[:1000]
        for k, v in list(value.items())[:100]
    }


def _plain_text(value: str) -> str:
    if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError("holds characters that are no text")
    return value


def _any_seed(seed: int) -> int | None:
    """-1 is how clients of other programs say "any"."""
    return None if seed == -1 else seed


Text = Annotated[str, AfterValidator(_plain_text)]
Callback = Annotated[str, AfterValidator(_callback)]
RowId = Annotated[int, Field(ge=0, lt=2**63)]  # as far as a column holds them
Numbers = Annotated[list[RowId], BeforeValidator(_as_numbers)]
Characteristics = Annotated[dict[str, Any], BeforeValidator(_as_object)]


class Form(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)
    # for fields that are needed, where the form is read leniently
    STAND_INS: ClassVar[dict[str, str]] = {}
    _wrong: dict[str, list[str]] = PrivateAttr(default_factory=dict)

    @property
    def wrong(self) -> dict[str, list[str]]:
        """What was wrong with the fields that `lenient` left out."""
        return self._wrong

    @model_validator(mode="before")
    @classmethod
    def _blank_is_absent(cls, values: Any) -> Any:
        if not is_object(values):
            raise ValueError("must be an object")
        return {
            k: v for k, v in values.items() if not (isinstance(v, (str, type(None))) and v in BLANK)
        }

    @classmethod
    def read(cls, values: Any) -> Self:
        """The form. Raises Invalid with every field that will not do."""
        form = cls.lenient(values)
        if form.wrong:
            raise Invalid(form.wrong)
        return form

    @classmethod
    def lenient(cls, values: Any) -> Self:
        """The form without the fields that will not do, for who finds more faults before all are
        told; `wrong` has these.

        Raises Invalid for what is no object, and without a field that is needed and has no
        stand-in.
        """
        wrong = cls.refused(values) if is_object(values) else {}
        try:
            form = cls.model_validate(values)
        except ValidationError as error:
            wrong |= field_map(error.errors())
            needed = {
                name for name, field in cls.model_fields.items() if field.is_required()
            } - cls.STAND_INS.keys()
            if not is_object(values) or needed & wrong.keys():
                raise Invalid(wrong) from None
            stand_ins = {name: value for name, value in cls.STAND_INS.items() if name in wrong}
            form = cls.model_validate(
                {name: value for name, value in values.items() if name not in wrong} | stand_ins
            )
        form._wrong = wrong
        return form

    @classmethod
    def refused(cls, values: dict[str, Any]) -> dict[str, list[str]]:
        """What is wrong with what was given beside the form's own fields."""
        return {}


class PromptForm(Enhancements, Form):
    text: Text = Field(default="", max_length=MAX_CHARACTERS)
    negative_prompt: Text | None = None
    callback: Callback | None = None
    num_images: int = Field(default=1, ge=1, le=8)
    seed: Annotated[int, Field(ge=-1, le=2**32), AfterValidator(_any_seed)] | None = None
    steps: int | None = Field(default=None, ge=0, le=100)
    cfg_scale: float | None = Field(default=None, ge=0, le=15)
    w: int | None = Field(default=None, ge=64, le=2048, multiple_of=8)
    h: int | None = Field(default=None, ge=64, le=2048, multiple_of=8)
    aspect_ratio: AspectRatio | None = None
    ar: Literal["1:1", "portrait", "16:9", "landscape"] = "1:1"
    lora_scale: float = Field(default=1.0, ge=0, le=4)
    tune_id: RowId | None = None
    face_swap: bool = False
    use_lpw: bool = False
    prompt_expansion: bool = False
    input_faceid: bool = False
    controlnet_txt2img: bool = False
    controlnet_conditioning_scale: float | None = Field(default=None, ge=0, le=1)
    denoising_strength: float | None = Field(default=None, ge=0, le=1)
    scheduler: (
        Literal[
            "euler",
            "euler_a",
            "dpm++2m_karras",
            "dpm++sde_karras",
            "dpm++2m",
            "dpm++sde",
            "lcm",
            "tcd",
        ]
        | None
    ) = None
    backend_version: Literal["0", "1"] | None = None
    theme: Text | None = Field(default=None, max_length=1000)
    controlnet: Text | None = Field(default=None, max_length=100)
    pack_id: RowId | None = None
    base_pack_id: RowId | None = None
    _asked: dict[str, Any] = PrivateAttr(default_factory=dict)
    _doubled: list[str] = PrivateAttr(default_factory=list[str])
    _clamped: list[str] = PrivateAttr(default_factory=list[str])

    @property
    def asked(self) -> dict[str, Any]:
        """The options that are asked for, by fields and by flags in the text."""
        return self._asked

    @property
    def doubled(self) -> list[str]:
        """What is to be said of options that are given more than once."""
        return self._doubled

    @property
    def clamped(self) -> list[str]:
        """What is to be said of numbers that were out of range."""
        return self._clamped

    @classmethod
    def lenient(cls, values: Any) -> Self:
        """Flags in the text are fields, too, and win over those given beside it."""
        if not is_object(values):
            return super().lenient(values)
        told, faults = values, list[str]()
        try:
            told = values | options.given(str(values.get("text") or ""))
        except InputError as error:
            faults = [str(error)]
        form = super().lenient(told)
        if faults:
            form.wrong.setdefault("text", []).extend(faults)
        others = {name: told[name] for name in OPTIONS if name in told and told[name] not in BLANK}
        mine = form.enhancements()
        form._asked = mine | options.asked(
            {name: value for name, value in others.items() if not OPTIONS[name].of_spec}
        )
        given = {name: value for name, value in values.items() if value not in BLANK}
        form._clamped = list(options.clamped(told).values())
        form._doubled = list(options.doubled(str(values.get("text") or ""), given).values())
        return form

    @model_validator(mode="before")
    @classmethod
    def _version_is_text(cls, values: Any) -> Any:
        if is_object(values) and isinstance(values.get("backend_version"), int):
            return {**values, "backend_version": str(values["backend_version"])}
        return values

    @classmethod
    def refused(cls, values: dict[str, Any]) -> dict[str, list[str]]:
        """Pictures are taken out of a prompt of its own before its form is read; the rest
        nobody here can draw."""
        given = [name for name, value in values.items() if value not in (*BLANK, [])]
        wrong = {
            name: "is not offered by this server"
            for name in given
            if name.startswith(("video", "audio_", "input_video"))
        }
        wrong |= {
            name: "belongs to a prompt of its own: send it with POST /prompts"
            for name in given
            if name.removesuffix("_url").removesuffix("_base64") in ("input_image", "mask_image")
        }
        wrong |= {
            name: "is not offered by this server: one picture is input_image, more are tunes of "
            "the type faceid"
            for name in given
            if name.startswith("image_references")
        }
        beyond = {name: values[name] for name in given if name not in cls.model_fields}
        wrong |= options.refusals(options.asked(beyond))
        return {name: [message] for name, message in wrong.items()}


class TrainingFields(Form):
    """Of a tune, what decides how long its training takes and what it costs."""

    base_tune_id: RowId | None = None
    branch: Literal["flux1", "flux2", "fast", "sd15", "sdxl1"] | None = None
    preset: PresetName | None = None
    steps: int | None = Field(default=None, ge=1, le=10_000)
    auto_extend: bool = False


class TuneForm(TrainingFields):
    STAND_INS: ClassVar[dict[str, str]] = {"title": "untitled", "name": "person"}
    title: Text = Field(max_length=1000)
    name: Text = Field(max_length=60, pattern=r"^[^<>:\x00-\x1f]+$")
    base_tune: Text | None = None
    model_type: Literal["lora", "pti", "faceid"] | None = None
    token: Text | None = Field(default=None, max_length=40, pattern=r"^[^\s<>:\x00-\x1f]+$")
    callback: Callback | None = None
    face_crop: bool | None = None  # as the account has it
    training_face_correct: bool = False
    # not of the contract: how the best checkpoint is chosen, as TrainSpec has it
    choose_within: float | None = Field(default=None, ge=0, le=1)
    stop_early: bool | None = None
    characteristics: Characteristics = Field(default_factory=dict)
    image_urls: Annotated[list[Text], BeforeValidator(_as_list)] = Field(default_factory=list)
    # each a PromptForm, read when its tune is known
    prompts_attributes: Annotated[list[Any], BeforeValidator(_as_list)] = Field(
        default_factory=list, max_length=100
    )

    def choosing(self) -> dict[str, Any]:
        """What was asked of that; the rest is as TrainSpec has it."""
        fields = self.model_dump(include={"choose_within", "stop_early"})
        return {name: value for name, value in fields.items() if value is not None}


class MoreForm(Form):
    """What a training that goes on may ask; the rest is as the tune had it."""

    title: Text | None = Field(default=None, max_length=1000)
    steps: int | None = Field(default=None, ge=1, le=10_000)
    callback: Callback | None = None
    auto_extend: bool = False


class PackForm(Form):
    title: Text = Field(max_length=200)
    subtitle: Text = Field(default="", max_length=1000)
    base_tune_id: RowId | None = None
    model_type: Literal["lora", "pti", "faceid"] | None = None
    preset: PresetName | None = None
    token: Text = Field(default="ohwx", max_length=40, pattern=r"^[^\s<>:\x00-\x1f]+$")
    cover_url: Callback | None = None
    public: bool = False


class PackRun(Form):
    """What a run of a pack asks beside the fields of a tune."""

    tune_ids: Numbers = Field(default_factory=list[int], max_length=20)
    prompt_ids: Numbers = Field(default_factory=list[int], max_length=200)
    prompt_attributes: Annotated[dict[str, Any], BeforeValidator(_as_object)] = Field(
        default_factory=dict
    )
    prompts_callback: Callback | None = None


class ThemeForm(Form):
    theme: Text = Field(max_length=1000)
    tune_ids: Numbers = Field(min_length=1, max_length=10)
    prompt_attributes: Annotated[dict[str, Any], BeforeValidator(_as_object)] = Field(
        default_factory=dict
    )
    draft: bool = False

    @model_validator(mode="before")
    @classmethod
    def _misspelt(cls, values: Any) -> Any:
        """The public documents spell `tune_ids` in two ways."""
        return (
            {"tune_ids": values["tuen_ids"], **values}
            if is_object(values) and "tuen_ids" in values
            else values
        )


class AccountPatch(Form):
    auto_extend_tunes: bool | None = None
    idempotent: bool | None = None
    face_crop: bool | None = None


class TunePatch(Form):
    title: Text | None = Field(default=None, max_length=1000)
    name: Text | None = Field(default=None, max_length=60, pattern=r"^[^<>:\x00-\x1f]+$")
    characteristics: Characteristics | None = None


# of pydantic's errors, those whose own words speak to programmers
WORDS = {
    "missing": "can't be blank", "int_parsing": "must be a whole number",
    "int_type": "must be a whole number", "int_from_float": "must be a whole number",
    "float_parsing": "must be a number", "float_type": "must be a number",
    "finite_number": "must be a number", "bool_parsing": "must be true or false",
    "bool_type": "must be true or false", "string_type": "must be text",
    "string_pattern_mismatch": "must be without <, > and :, and a token without spaces",
}  # fmt: skip


def field_map(errors: Iterable[Any]) -> dict[str, list[str]]:
    """pydantic's errors in the contract's shape, with the words that clients of Rails know."""
    fields: dict[str, list[str]] = {}
    for row in errors:
        name, limits = str(row["loc"][0]) if row["loc"] else "body", row.get("ctx", {})
        if row["type"] in WORDS:
            message = WORDS[row["type"]]
        elif row["type"] == "too_long":
            message = (
                f"must have at most {limits['max_length']} items, not {limits['actual_length']}"
            )
        elif row["type"] == "value_error":
            message = str(limits.get("error", row["msg"]))
        else:
            message = (
                row["msg"]
                .replace("Input should be", "must be")
                .replace("String should", "must")
                .replace("List should", "must")
            )
        fields.setdefault(name, []).append(message)
    return fields
