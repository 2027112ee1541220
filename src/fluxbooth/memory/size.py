"""The numbers of a network that decide how much memory it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["double", "single"]


@dataclass(frozen=True)
class Shape:
    """What of a FLUX.1 base decides its memory; the names are those of diffusers' config files."""

    num_layers: int
    num_single_layers: int
    width: int
    heads: int
    joint_attention_dim: int
    pooled_projection_dim: int
    guidance_embeds: bool
    in_channels: int
    encoders: int  # parameters of the text encoders together
    autoencoder: int  # parameters
    autoencoder_channels: int  # at the picture's own size

    @property
    def linear(self) -> int:
        """Weights of the blocks' Linear layers, which are quantised and get the LoRA."""
        return (
            self.block_weights("double") * self.num_layers
            + self.block_weights("single") * self.num_single_layers
        )

    @property
    def other(self) -> int:
        """The transformer's other parameters: biases, norms, embedders and the output layer."""
        d, norms = self.width, self.width // self.heads
        biases = self.num_layers * (30 * d + 4 * norms) + self.num_single_layers * (
            11 * d + 2 * norms
        )
        vectors = 1 + self.guidance_embeds  # timestep, guidance: two layers from 256
        embedders = d * (
            self.in_channels
            + self.joint_attention_dim
            + 256 * vectors
            + self.pooled_projection_dim
            + d * (vectors + 1)
        )
        return (
            biases
            + embedders
            + d * (2 + 2 * (vectors + 1))
            + 2 * d * d
            + 2 * d
            + self.in_channels * (d + 1)
        )

    @property
    def transformer(self) -> int:
        return self.linear + self.other

    @property
    def blocks(self) -> Sequence[Kind]:
        doubles: list[Kind] = ["double"] * self.num_layers
        singles: list[Kind] = ["single"] * self.num_single_layers
        return [*doubles, *singles]

    def block_weights(self, kind: Kind) -> int:
        """Weights of a block's Linear layers: in 3072 x 3072, a double one has 12 for
        modulation, 8 for attention, 16 for feed-forward."""
        return (36 if kind == "double" else 15) * self.width**2

    def block_adapter(self, kind: Kind, rank: int) -> int:
        """Parameters of a LoRA on every Linear of a block."""
        return (50 if kind == "double" else 21) * self.width * rank

    def adapter(self, rank: int) -> int:
        return sum(self.block_adapter(kind, rank) for kind in self.blocks)


FLUX1 = Shape(
    19,
    38,
    3072,
    24,
    4096,
    768,
    True,
    64,
    encoders=4_762_310_656 + 123_060_480,
    autoencoder=83_819_683,
    autoencoder_channels=128,
)
