"""A base: the row of a model that can be trained or drawn with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

FLUX_DEV_LICENCE = "FLUX.1 [dev] Non-Commercial"
KLEIN_9B_LICENCE = "FLUX.2 [klein] 9B Non-Commercial"


@dataclass(frozen=True)
class Base:
    """What is known of a model before its weights are read.

    Areas are in pixels, lengths in tokens.
    """

    name: str
    family: str  # package of fluxbooth.models that runs it
    source: str  # diffusers folder, file or Hugging Face id of the weights that generate
    train_source: str  # the weights to train on; the same but for distilled models
    licence: str
    native_area: int  # a square of the side it is at home at
    largest_area: int  # beyond this it repeats itself
    text_length: int  # of the encoder that reads most of a text
    learning_rate: float
    batch_size: int
    resolutions: tuple[int, ...]
    trains: bool = True
    # what presets raise the rate to at most
    highest_rate: float = 1.0
    # defaults of the settings of these names (`TrainSpec`)
    settle_steps: int | None = None
    fit_text: bool = False
    outside_head: float = 1.0  # of people
    small: bool = False  # a picture or a step of it is too little work for two threads
    steps: int = 28  # of sampling
    guidance: float | None = 3.5  # that the network is told; None: it knows none
    # commit of the Hugging Face repository; None: unknown until `models pull` records one
    revision: str | None = None
    train_revision: str | None = None  # the same of `train_source`, where that is another one
    # whether guidance takes a second pass, without the text: that of an empty one is encoded, too
    two_pass: bool = False
    references: int = 0  # pictures that a prompt may look at
    # whether a step may take over what most blocks added in the step before (`speed="fast"`)
    fast: bool = True
    branch: str = "flux1"  # its kind, as the API names it
    # what its unquantised weights and its LoRA files are kept in
    stored: Literal["bfloat16", "float32"] = "bfloat16"
    # weights of what reads attributes off its pictures (`models/attribute_reader.py`)
    reader: Path | None = None
    # weights of what tells the parts of its pictures apart (`generation/enhance/segmenter.py`)
    segmenter: Path | None = None
    # weights of what finds heads in its pictures (`generation/enhance/heads.py`), where dlib does
    # not
    heads: Path | None = None
    # weights of what tells individuals apart in them (`evaluation/identity.py`)
    identity: Path | None = None

    @property
    def called(self) -> str:
        """As a sentence calls it: of a folder or a file, which only the operator knows, its name
        alone."""
        return self.name.rpartition("/")[2]

    @property
    def native_side(self) -> int:
        return round(self.native_area**0.5)

    @property
    def pair(self) -> bool:
        """Whether it is trained on other weights than those that draw."""
        return self.train_source != self.source

    @property
    def to_train(self) -> Base:
        """Its row with the weights that are trained on in the place of those that draw."""
        if not self.pair:
            return self
        return replace(self, source=self.train_source, revision=self.train_revision)

    @property
    def sets(self) -> tuple[Base, ...]:
        """A row for each set of its weights: those that draw, and others to train on."""
        return (self, self.to_train) if self.pair and self.trains else (self,)

    @property
    def from_hub(self) -> bool:
        """Whether its weights are downloaded rather than a folder or file of this machine."""
        return not Path(self.source).is_absolute()
