"""What can be asked of a picture that is there, as the table of options has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from fluxbooth.prompts import options
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.specs.spec import Spec

if TYPE_CHECKING:  # which cannot read the words out of a table
    Resolution = Anchor = Style = Grading = str
else:
    Resolution, Anchor, Style, Grading = (
        Literal[OPTIONS[name].words]
        for name in ("resolution", "outpaint", "style", "color_grading")
    )


def _option(name: str) -> Any:
    """The field of an option, as the table has it."""
    row = OPTIONS[name]
    limits: dict[str, Any] = {} if row.clamped else {"ge": row.least, "le": row.most}
    if row.takes == "text":
        limits = {"max_length": 1000}
    return Field(default=row.default, description=row.does, **limits)


class Enhancements(BaseModel):
    """The options of a picture, for who reads them in ways of their own."""

    super_resolution: bool = _option("super_resolution")
    only_upscale: bool = _option("only_upscale")
    upscale_factor: float | None = _option("upscale_factor")
    resolution: Resolution | None = _option("resolution")
    hires_fix: bool = _option("hires_fix")
    hires_denoising_strength: float = _option("hires_denoising_strength")
    tiled_upscale: bool = _option("tiled_upscale")
    tiled_upscale_v2: bool = _option("tiled_upscale_v2")
    inpaint_faces: bool = _option("inpaint_faces")
    face_correct: bool = _option("face_correct")
    face_inpaint_denoising: float | None = _option("face_inpaint_denoising")
    mask_prompt: str | None = _option("mask_prompt")
    mask_negative: str | None = _option("mask_negative")
    mask_invert: bool = _option("mask_invert")
    mask_dilate: str | None = _option("mask_dilate")
    mask_blur: int | None = _option("mask_blur")
    fill: bool = _option("fill")
    restore_mask: bool = _option("restore_mask")
    remove_background: bool = _option("remove_background")
    outpaint: Anchor | None = _option("outpaint")
    outpaint_width: int | None = _option("outpaint_width")
    outpaint_height: int | None = _option("outpaint_height")
    outpaint_prompt: str | None = _option("outpaint_prompt")
    style: Style | None = _option("style")
    color_grading: Grading | None = _option("color_grading")
    film_grain: bool = _option("film_grain")
    multi: bool = _option("multi")
    use_regional: bool = _option("use_regional")

    @field_validator(*(row.name for row in OPTIONS.values() if row.of_spec), mode="before")
    @classmethod
    def _as_the_contract_reads_it(cls, value: Any, info: ValidationInfo) -> Any:
        return OPTIONS[str(info.field_name)].read(value)

    @field_validator(*(row.name for row in OPTIONS.values() if row.of_spec and row.takes == "text"))
    @classmethod
    def _is_text(cls, value: str | None) -> str | None:
        if value and not value.isprintable():
            raise ValueError("must be of characters that can be printed")
        return value

    @field_validator("mask_dilate")
    @classmethod
    def _is_a_width(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[+-]?\d{1,4}%?", value):
            raise ValueError("must be pixels or percent, such as 12 or -20%")
        return value

    def enhancements(self) -> dict[str, Any]:
        """The options that ask for something, by name."""
        values = {name: getattr(self, name) for name in Enhancements.model_fields}
        return options.asked(values)

    def enlargement(self, size: tuple[int, int], native_area: int) -> float:
        """How many times as wide a picture of (width, height) pixels becomes."""
        return options.enlargement(self.enhancements(), size, native_area)


class EnhanceSpec(Enhancements, Spec):
    """What to do to a picture: options that are off do nothing.

    Frozen. Raises InputError with one sentence for the first value that will not do.
    """

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_in_range(cls, values: dict[str, Any]) -> dict[str, Any]:
        # the contract moves a client's number into its range, and says so; here one is at hand
        # who can give another
        for name, value in values.items():
            if (row := OPTIONS.get(name)) and row.is_beyond(value):
                raise ValueError(f"{name} must be from {row.least:g} to {row.most:g}, not {value}")
        return values

    @model_validator(mode="after")
    def _options_are_possible(self) -> Self:
        if wrong := options.impossible(self.asked()):
            raise ValueError(options.told(wrong).removesuffix("."))
        return self

    def asked(self) -> dict[str, Any]:
        """What asks for something, by name."""
        return self.enhancements()
