"""What every spec does with its fields: they are told in its documentation, and the first value
that will not do is refused with one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fluxbooth.errors import InputError, did_you_mean

Dtype = Literal["auto", "float32", "bfloat16"]
Quantisation = Literal["auto", "none", "int8", "fp8", "nf4"]
Encoders = Literal["auto", "stay", "leave", "cpu"]


def _words(annotation: Any) -> tuple[str, ...]:
    """Of a Literal, also inside a union or a tuple."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(word for part in get_args(annotation) for word in _words(part))


def _told(spec: type[Spec], name: str) -> str:
    """A line of the class's documentation."""
    field, words = spec.model_fields[name], spec.choices(name)
    default = "required" if field.is_required() else repr(field.default)
    return f"    {name} ({default}): {field.description}" + (
        f". One of {', '.join(words)}" if words else ""
    )


class Spec(BaseModel):
    """Its fields are told in the class's own documentation, for `help()`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # for whom the fields are the signature

        def __init__(self, /, **values: Any) -> None:
            """Raises InputError with one sentence for the first value that will not do."""
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise InputError(_sentence(type(self), error)) from None

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls.__doc__ = f"{cls.__doc__}\n\nSettings:\n" + "\n".join(
            _told(cls, name) for name in cls.model_fields
        )

    @classmethod
    def read(cls, values: dict[str, Any]) -> Self:
        """The checked spec.

        Raises InputError with one sentence for the first value that will not do.
        """
        return cls(**values)

    @classmethod
    def choices(cls, field: str) -> tuple[str, ...]:
        """The words that a field takes, if it takes only some."""
        return _words(cls.model_fields[field].annotation)


# what both specs say of the base, and how it is kept in memory; the plan says what "auto" came to,
# and why
BASE = "a name from `fluxbooth models`, a diffusers folder or a FLUX.1 .safetensors file; auto: "
QUANTISATION: Any = Field(
    default="auto", description="of the base's weights; int8, fp8 and nf4 need fluxbooth[quant]"
)
DTYPE: Any = Field(default="auto", description="what the base computes in")
ENCODERS: Any = Field(
    default="auto",
    description=(
        "text encoders stay in memory, leave it when all texts are encoded, or work on the CPU "
        "beside a GPU"
    ),
)
OFFLOAD_BLOCKS: Any = Field(
    default=None,
    ge=0,
    description="blocks of the base that wait in main memory for their turn on the GPU",
)


def _sentence(spec: type[Spec], error: ValidationError) -> str:
    # a misspelt setting may be the one that is missing
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    field, given = str(first["loc"][0]) if first["loc"] else "", first["input"]
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error" and not field:
        return reason[0].upper() + reason[1:] + "."
    if first["type"] == "extra_forbidden":
        meant = did_you_mean(field, spec.model_fields)
        return (
            "There is no setting "
            f"{field!r}{meant or ': the settings are ' + ', '.join(spec.model_fields)}."
        )
    name = field.replace("_", " ").capitalize()
    if first["type"] == "missing":
        return f"{name} is missing: {spec.model_fields[field].description}."
    if first["type"] == "literal_error":
        meant = did_you_mean(str(given), spec.choices(field))
        return f"{name} {given!r} will not do{meant}: use {first.get('ctx', {})['expected']}."
    reason = reason.replace("Input should", "it should").replace("must", "it must", 1)
    return f"{name} {given!r} will not do: {reason}."
