"""The numbers of a network that decide how much memory it takes, and how long it computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

Kind = Literal["double", "single"]


class Shape(Protocol):
    """What of a base decides its memory and its operations; each family has its own formulas."""

    num_layers: int  # double blocks: text and picture have weights of their own
    num_single_layers: int  # after them: both have the same
    width: int
    heads: int
    in_channels: int  # of a packed latent
    encoders: int  # parameters of the text encoders together, as their files have them
    autoencoder: int  # parameters
    autoencoder_channels: int  # at the picture's own size

    def block_weights(self, kind: Kind) -> int:
        """Weights of a block's Linear layers."""
        ...

    def block_adapter(self, kind: Kind, rank: int) -> int:
        """Parameters of a LoRA on every Linear of a block."""
        ...

    def block_flops(self, kind: Kind, tokens: int) -> tuple[float, float]:
        """Floating-point operations of a block's forward pass for so many tokens of one picture
        and its text: its Linears, its attention."""
        ...

    def saved_bytes(self, kind: Kind, tokens: int, batch: int, rank: int, number: int) -> float:
        """What autograd keeps of a block with a LoRA, for so many tokens of a batch together,
        in numbers of so many bytes."""
        ...

    def backward_bytes(self, kind: Kind, saved: float, activation: float, matrix: float) -> float:
        """The most that is alive in the backward pass of a block, which kept `saved` bytes: one
        activation of all tokens has `activation` bytes, and a Linear's weight that is made anew to
        compute with `matrix` bytes for each of its numbers."""
        ...

    @property
    def forward(self) -> Mapping[Kind, float]:
        """Activations of all tokens at the peak of a block's forward pass, above what it keeps."""
        ...

    @property
    def drawing(self) -> float:
        """The same where nothing is kept."""
        ...

    @property
    def largest_linear(self) -> int:
        """Weights of the largest Linear of a block."""
        ...

    @property
    def linear_at_peak(self) -> int:
        """Weights of the Linear that works where the most else is alive in a forward pass."""
        ...

    @property
    def encoders_used(self) -> int:
        """Parameters of the text encoders that stay in memory."""
        return self.encoders

    @property
    def other(self) -> int:
        """The transformer's parameters outside its blocks' Linear layers."""
        ...

    @property
    def blocks(self) -> Sequence[Kind]:
        """In the order in which they work."""
        doubles: list[Kind] = ["double"] * self.num_layers
        singles: list[Kind] = ["single"] * self.num_single_layers
        return [*doubles, *singles]

    @property
    def linear(self) -> int:
        """Weights of the blocks' Linear layers, which are quantised and get the LoRA."""
        return sum(map(self.block_weights, self.blocks))

    @property
    def transformer(self) -> int:
        """Its parameters."""
        return self.linear + self.other

    def adapter(self, rank: int) -> int:
        """Parameters of a LoRA."""
        return sum(self.block_adapter(kind, rank) for kind in self.blocks)
