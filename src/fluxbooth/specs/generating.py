"""What can be asked of a generation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import Field, model_validator

from fluxbooth.errors import InputError
from fluxbooth.prompts import options
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.specs.enhancing import EnhanceSpec
from fluxbooth.specs.spec import (
    BASE,
    DTYPE,
    ENCODERS,
    OFFLOAD_BLOCKS,
    QUANTISATION,
    Dtype,
    Encoders,
    Quantisation,
)

SERVERS = "is done by servers alone: leave it out"
AspectRatio = Literal[
    "1:1", "16:9", "9:16", "21:9", "9:21", "3:2", "2:3", "5:4", "4:5", "4:3", "3:4"
]
ASPECT_RATIOS: tuple[str, ...] = get_args(AspectRatio)


class GenerateSpec(EnhanceSpec):
    """How to generate. Width and height are in pixels and multiples of 16; `seed` is that of the
    first picture.

    Frozen. Raises InputError with one sentence for the first value that will not do.
    """

    base: str = Field(
        default="auto",
        description=(
            f"model to draw with: {BASE}the one that the first LoRA was trained on, without one "
            "flux-dev with a GPU, else nano"
        ),
    )
    loras: tuple[str, ...] = Field(
        default=(), max_length=8, description="LoRA files, PATH or PATH:WEIGHT"
    )
    num_images: int = Field(default=1, ge=1, le=100, description="pictures a text")
    seed: int | None = Field(
        default=None,
        ge=0,
        lt=2**32,
        description="the next picture takes the next seed; random by default",
    )
    width: int | None = Field(
        default=None, ge=64, le=4096, multiple_of=16, description="pixels, a multiple of 16"
    )
    height: int | None = Field(
        default=None, ge=64, le=4096, multiple_of=16, description="pixels, a multiple of 16"
    )
    aspect_ratio: AspectRatio | None = Field(
        default=None, description="shape at the base's own area"
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description=(
            "denoising steps; by default what suits the base: 28, of flux-schnell and flux2-klein "
            "4, of flux2-klein-base 50"
        ),
    )
    guidance: float | None = Field(
        default=None,
        ge=0,
        le=20,
        description=(
            "how closely to follow the text; by default 3.5, of flux2-klein-base 4; flux-schnell "
            "and flux2-klein know none"
        ),
    )
    speed: Literal["exact", "fast"] = Field(
        default="exact", description="fast skips blocks whose work changes little: other details"
    )
    quantisation: Quantisation = QUANTISATION
    dtype: Dtype = DTYPE
    encoders: Encoders = ENCODERS
    offload_blocks: int | None = OFFLOAD_BLOCKS
    input_image: str | None = Field(
        default=None,
        description=(
            "picture file to start from instead of noise; its shape is kept; a base that looks at "
            "pictures changes in it what the text says, unless a strength or a mask is given"
        ),
    )
    mask_image: str | None = Field(
        default=None,
        description="picture file beside it: what is white there is drawn anew, the rest stays",
    )
    denoising_strength: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="how far from the input picture: 0 keeps it, 1 forgets it; by default 0.8",
    )
    references: tuple[str, ...] = Field(
        default=(),
        max_length=4,
        description=(
            "picture file that the text is also drawn from, such as a face, clothes or a place; "
            "bases that can look at pictures: flux2-klein, flux-kontext"
        ),
    )
    negative_prompt: str | None = Field(
        default=None, description="not possible with FLUX; say what should be there instead"
    )

    def asked(self) -> dict[str, Any]:
        """All that is not as it is by default, by name."""
        fields = type(self).model_fields
        return {
            name: value
            for name, value in self
            if value is not None and value != fields[name].default
        }

    def without(self, names: Iterable[str]) -> Self:
        """With these fields at their defaults."""
        fields = type(self).model_fields
        mine = {name: fields[name].default for name in names if name in fields}
        return self.model_copy(update=mine) if mine else self

    def with_flags(self, text: str) -> Self:
        """With what the flags of a text ask for, which wins over the spec's own.

        Raises InputError for flags that will not do.
        """
        flags = options.given(text)
        mine = {
            name: OPTIONS[name].read(value)
            for name, value in flags.items()
            if OPTIONS[name].of_spec
        }
        others = options.asked({name: flags[name] for name in flags if name not in mine})
        wrong = {name: SERVERS for name in others if OPTIONS[name].status == "works"}
        if wrong := options.refusals(others) | wrong:
            raise InputError(options.told(wrong))
        return type(self).read(self.model_dump() | mine) if mine else self

    def check_start(self) -> None:
        """Raises InputError for what needs a picture to start from, without one. `enhance` gives
        it later, so that a spec alone may lack it."""
        if self.input_image:
            return
        if wrong := options.lacking(self.asked()):
            raise InputError(options.told(wrong))
        for asked, what in (
            (self.mask_image, "A mask needs the picture that it belongs to"),
            (self.denoising_strength, "A denoising strength needs a picture to start from"),
        ):
            if asked is not None:
                raise InputError(f"{what}: give the input image, too.")

    @model_validator(mode="after")
    def _size_is_whole(self) -> Self:
        if (self.width is None) != (self.height is None):
            raise ValueError("width and height must be given together")
        if self.width and self.aspect_ratio:
            raise ValueError("give either width and height or an aspect ratio, not both")
        return self


class ResolvedGenerateSpec(GenerateSpec):
    """A GenerateSpec with the steps and the guidance of its base filled in: sampling sees no
    other."""

    steps: int = Field(ge=1, le=200)
    guidance: float = Field(ge=0, le=20)


def lora_and_weight(text: str) -> tuple[str, float]:
    """Splits PATH[:WEIGHT]; raises InputError for a weight outside -4..4."""
    path, colon, weight = text.rpartition(":")
    if not colon or not path or Path(text).suffix == ".safetensors":
        return text, 1.0
    try:
        value = float(weight)
    except ValueError:
        raise InputError(
            f"The LoRA weight {weight!r} in {text!r} is not a number: write PATH:0.8."
        ) from None
    if not -4 <= value <= 4:
        raise InputError(
            f"The LoRA weight {weight} in {text!r} is out of range: use -4 to 4, most often "
            "0.6 to 1.2."
        )
    return path, value
