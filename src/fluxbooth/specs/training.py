"""What can be asked of a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from fluxbooth.prompts.language import trigger_words
from fluxbooth.specs.spec import (
    BASE,
    DTYPE,
    ENCODERS,
    OFFLOAD_BLOCKS,
    QUANTISATION,
    Dtype,
    Encoders,
    Quantisation,
    Spec,
)

FEWEST_STEPS = 300
FEWEST_TOKENS = 24  # of a text that is fitted to the captions: fewer were not tried
Captioner = Literal["none", "reader"]


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
    PresetName = str
else:
    PresetName = Literal[PRESET_NAMES]


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
    settle_steps: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description=(
            "steps after which the learning rate has fallen to a tenth, over the second half of "
            "them, and stays there; by default it falls over the last fifth of all"
        ),
    )
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
        default=None,
        ge=8,
        le=512,
        description="tokens of the text encoder that a caption is cut or padded to",
    )
    fit_text: bool | None = Field(
        default=None,
        description=(
            "true or false: take no more of these tokens than the longest caption needs, "
            f"{FEWEST_TOKENS} at least"
        ),
    )
    captioner: Captioner | None = Field(
        default=None,
        description=(
            "who writes the caption of a photo that has none: reader names clothes, mood, "
            "background and place in the frame, where the base has a reader of its pictures"
        ),
    )
    outside_head: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description=(
            "weight in the loss of what lies outside the heads, where there are any; 1 weighs "
            "all alike (below 1, photographs need fluxbooth[faces])"
        ),
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
    choose_within: float = Field(
        default=0.15,
        ge=0,
        le=1,
        description=(
            "share of the training's time that pictures may take by which the best checkpoint is "
            "chosen, where they can be judged; 0 keeps the last"
        ),
    )
    stop_early: bool | None = Field(
        default=None,
        description=(
            "true or false: end when the pictures of two checkpoints in a row are no better; by "
            "default unless the steps are given"
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
    stop_early: bool = False
    # with the values that change nothing, which runs begun before these settings had
    settle_steps: int | None = None
    fit_text: bool = False
    captioner: Captioner = "none"
    outside_head: float = Field(default=1.0, ge=0, le=1)


def steps_for(spec: TrainSpec, pictures: int) -> int:
    """The number of training steps: an explicit one wins, else so many a picture by preset, at
    least 300."""
    return spec.steps or max(FEWEST_STEPS, PRESETS[spec.preset].steps * pictures)


def stage_steps(spec: ResolvedTrainSpec) -> list[int]:
    """The steps at which a stage is kept; none without `stages`."""
    count = min(spec.stages, spec.steps)
    return [round(spec.steps * i / count) for i in range(1, count + 1)]
