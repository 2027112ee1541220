"""The one vocabulary: what can be asked of a training and of a generation.

The fields of `TrainSpec` and `GenerateSpec` are the flags of the command line, the keys of a
`--config` file, the job payload of the service and the metadata of the files that come out. `None`
means "what suits the base"; `models.resolve` fills it in. `base` "auto" is what
`base_selection.with_base` makes of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from fluxbooth.errors import InputError, did_you_mean
from fluxbooth.prompts import options
from fluxbooth.prompts.language import trigger_words
from fluxbooth.prompts.options import OPTIONS

FEWEST_STEPS = 300
SERVERS = "is done by servers alone: leave it out"


class Preset(NamedTuple):
    """Training steps for each picture, at least `FEWEST_STEPS`; what the rate of the base is
    multiplied by; and how people are told of it."""

    steps: int
    rate: float
    title: str
    meant_for: str


# the one list of them, the most often right one first; None is without a preset
PRESETS: dict[str | None, Preset] = {
    "flux-lora-portrait": Preset(27, 2.0, "Portrait", "A good first choice for people."),
    None: Preset(100, 1.0, "Thorough", "Slowest, learns the most."),
    "flux-lora-focus": Preset(
        27, 2.5, "Focus", "Learns the subject harder, at the cost of variety."
    ),
    "flux-lora-fast": Preset(27, 3.0, "Fast", "For many photos; may look overdone."),
}
PRESET_NAMES = tuple(name for name in PRESETS if name)
if TYPE_CHECKING:  # which cannot read the names out of a table
    PresetName = Resolution = Anchor = Style = Grading = str
else:
    PresetName = Literal[PRESET_NAMES]
    Resolution, Anchor, Style, Grading = (
        Literal[OPTIONS[name].words]
        for name in ("resolution", "outpaint", "style", "color_grading")
    )
Dtype = Literal["auto", "float32", "bfloat16"]
Quantisation = Literal["auto", "none", "int8", "fp8", "nf4"]
Encoders = Literal["auto", "stay", "leave", "cpu"]
AspectRatio = Literal[
    "1:1", "16:9", "9:16", "21:9", "9:21", "3:2", "2:3", "5:4", "4:5", "4:3", "3:4"
]
ASPECT_RATIOS: tuple[str, ...] = get_args(AspectRatio)


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
    le=57,
    description="blocks of the base that wait in main memory for their turn on the GPU",
)


class TrainSpec(Spec):
    """How to train. Sizes are in pixels, rates are those of the optimiser, `resolutions` are sides
    of a square of equal area.

    Frozen. What is None is filled in with what suits the base. Raises InputError with one sentence
    for the first value that will not do.
    """

    class_name: str = Field(
        min_length=1,
        max_length=60,
        pattern=r"^[^<>:\x00-\x1f]+$",
        description="class word of the subject: man, woman, dog, bag",
    )
    base: str = Field(
        default="auto", description=f"model to train on: {BASE}flux-dev with a GPU, else nano"
    )
    token: str = Field(
        default="ohwx",
        min_length=1,
        max_length=40,
        pattern=r"^[^\s<>:\x00-\x1f]+$",
        description="rare word that will mean the subject",
    )
    preset: PresetName | None = Field(default=None, description="fewer steps at a higher rate")
    steps: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="training steps; by default 100 a picture, at least 300",
    )
    rank: int = Field(default=16, ge=1, le=256, description="rank of the LoRA; alpha is the same")
    learning_rate: float | None = Field(default=None, gt=0, le=10, description="peak learning rate")
    optimizer: Literal["adamw", "adamw8bit", "prodigy"] = Field(
        default="adamw",
        description="adamw8bit needs fluxbooth[quant], prodigy needs fluxbooth[prodigy]",
    )
    batch_size: int | None = Field(default=None, ge=1, le=256, description="pictures a step")
    resolutions: tuple[int, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="train at these areas (side of the square, pixels)",
    )
    sigma_law: Literal["logit-normal", "uniform", "shifted"] = Field(
        default="logit-normal", description="how noise levels are drawn"
    )
    guidance: float = Field(
        default=1.0, ge=0, le=20, description="guidance that the base is conditioned on in training"
    )
    text_length: int | None = Field(
        default=None, ge=8, le=512, description="T5 tokens a caption is cut or padded to"
    )
    face_crop: bool = Field(
        default=False,
        description=(
            "also train on a close-up of the largest face of each photo (needs fluxbooth[faces])"
        ),
    )
    caption_dropout: float = Field(
        default=0.0, ge=0, le=1, description="share of pictures shown without their caption"
    )
    clip_norm: float = Field(default=1.0, gt=0, description="largest norm of the gradient")
    ema: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="keep a moving average of the weights with this decay, and save that",
    )
    gradient_checkpointing: Literal["auto", "none", "some", "all"] = Field(
        default="auto",
        description=(
            "blocks that recompute their activations, which is slower; some is the first half"
        ),
    )
    quantisation: Quantisation = QUANTISATION
    dtype: Dtype = DTYPE
    encoders: Encoders = ENCODERS
    offload_blocks: int | None = OFFLOAD_BLOCKS
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="every random number of the run follows from it"
    )
    checkpoint_every: int = Field(default=250, ge=1, description="steps between checkpoints")
    keep_checkpoints: int = Field(default=2, ge=1, le=1000, description="how many checkpoints stay")
    sample_prompts: tuple[str, ...] = Field(
        default=(), max_length=16, description="texts to draw at every checkpoint"
    )
    stages: int = Field(
        default=0,
        ge=0,
        le=50,
        description=(
            "keep the LoRA at so many steps evenly apart, the last among them; samples are then "
            "drawn there"
        ),
    )
    continue_from: str | None = Field(
        default=None, description="a LoRA file to train on instead of starting anew"
    )
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = Field(
        default=(), description="also log there; they need fluxbooth[tensorboard], fluxbooth[wandb]"
    )

    @model_validator(mode="after")
    def _resolutions_fit(self) -> Self:
        for side in self.resolutions or ():
            if not 64 <= side <= 2048 or side % 16:
                raise ValueError(f"resolution {side} must be a multiple of 16 from 64 to 2048")
        return self

    @property
    def trigger(self) -> str:
        """The words that call the subject: `ohwx man`."""
        return trigger_words(self.token, self.class_name)


class ResolvedTrainSpec(TrainSpec):
    """A TrainSpec whose base has filled in what was left to it: `models.registry.resolve` makes
    it, and training sees no other."""

    steps: int = Field(ge=1, le=100_000)
    learning_rate: float = Field(gt=0, le=10)
    batch_size: int = Field(ge=1)
    resolutions: tuple[int, ...] = Field(min_length=1, max_length=8)
    text_length: int = Field(ge=8)


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

    @model_validator(mode="after")
    def _options_are_possible(self) -> Self:
        if wrong := options.refusals(self.asked()):
            raise ValueError(options.told(wrong).removesuffix("."))
        return self

    def asked(self) -> dict[str, Any]:
        """The options that ask for something, and the pictures that are given, by name."""
        return self.enhancements()


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
        description="denoising steps; by default what suits the base: 28, of flux-schnell 4",
    )
    guidance: float | None = Field(
        default=None,
        ge=0,
        le=20,
        description="how closely to follow the text; by default 3.5; flux-schnell knows none",
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
        given = {
            "input_image": self.input_image,
            "mask_image": self.mask_image,
            "references": self.references or None,
        }
        return super().asked() | options.asked(given)

    def without(self, names: Iterable[str]) -> Self:
        """With these options at their defaults."""
        mine = {name: OPTIONS[name].default for name in names if name in Enhancements.model_fields}
        return self.model_copy(update=mine) if mine else self

    def with_flags(self, text: str) -> Self:
        """With what the flags of a text ask for, which wins over the spec's own.

        Raises InputError for flags that will not do.
        """
        flags = options.given(text)
        mine = {name: value for name, value in flags.items() if OPTIONS[name].of_spec}
        others = options.asked({name: flags[name] for name in flags if name not in mine})
        wrong = {name: SERVERS for name in others if OPTIONS[name].status == "works"}
        if wrong := options.refusals(others) | wrong:
            raise InputError(options.told(wrong))
        return type(self).read(self.model_dump() | mine) if mine else self

    @model_validator(mode="after")
    def _starts_from_a_picture(self) -> Self:
        if self.mask_image and not self.input_image:
            raise ValueError(
                "a mask needs the picture that it belongs to: give the input image, too"
            )
        if self.denoising_strength is not None and not self.input_image:
            raise ValueError(
                "a denoising strength needs a picture to start from: give the input image, too"
            )
        return self

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


def steps_for(spec: TrainSpec, pictures: int) -> int:
    """The number of training steps: an explicit one wins, else so many a picture by preset, at
    least 300."""
    return spec.steps or max(FEWEST_STEPS, PRESETS[spec.preset].steps * pictures)


def stage_steps(spec: ResolvedTrainSpec) -> list[int]:
    """The steps at which a stage is kept; none without `stages`."""
    count = min(spec.stages, spec.steps)
    return [round(spec.steps * i / count) for i in range(1, count + 1)]


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
