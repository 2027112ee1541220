"""The seam between what is the same for every flow model and what a family of them decides for
itself.

Above it, training and generation see only a velocity field: latents, conditioning and position ids
are opaque tensors that a family makes and takes back. A family is a package beside this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from fluxbooth.memory.estimate import Choice
from fluxbooth.models.base import Base

# What the text encoders say of captions, and the autoencoder of pictures that are looked at: named
# tensors whose first axis is the caption.
Conditioning = dict[str, Tensor]
# what a picture is drawn from, beside the text
Start = Literal["text", "image", "inpaint", "reference"]


@dataclass(frozen=True)
class Parts:
    """What a family has beside its network: text encoders, tokenizers, autoencoder, each by the
    name of its folder in `source`."""

    source: Path
    components: dict[str, Any]


class Family(Protocol):
    row: Base
    network: nn.Module  # what is trained: takes adapters on `adapter_targets`
    stored: torch.dtype  # what its weights are kept in, where they are not quantised
    dtype: torch.dtype  # what it computes in
    device: torch.device  # where it computes, wherever its weights wait
    choice: Choice  # how it is kept in memory

    def load_network(self) -> None:
        """Brings the network into memory if it is not there: each weight cast or quantised, and
        put where it belongs, as it arrives."""
        ...

    def park_encoders(self) -> None:
        """Makes room of the text encoders until the next text, if they are to leave in between."""
        ...

    def encode_text(self, texts: Sequence[str], text_length: int) -> Conditioning:
        """Texts to conditioning. Needs the text encoders."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of a text in the encoder that reads most of it, end token included."""
        ...

    def encode_image(self, pixels: Tensor) -> Tensor:
        """float n x 3 x H x W in -1..1 to clean latents z of mean 0 and deviation 1, packed as
        the network takes them."""
        ...

    def encode_photo(self, pixels: Tensor, warn: Callable[[str], None]) -> Tensor:
        """The same of what will be learnt from, once and for all: computed in float32, unless a
        card that has the base in memory has no room for that, which `warn` is told."""
        ...

    def encode_references(self, images: Sequence[Image.Image]) -> Conditioning:
        """Pictures that the network looks at while it draws, RGB, as many as the row allows: what
        `velocity` takes beside the conditioning of a text."""
        ...

    def decode_image(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Packed latents of pictures of (width, height) pixels to float n x 3 x H x W, about
        -1..1."""
        ...

    def unpack(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        """Packed latents to a grid n x C x H/8 x W/8, so that a part of the picture is a part of
        it."""
        ...

    def pack(self, grid: Tensor) -> Tensor:
        """Back from `unpack`."""
        ...

    def sigmas(self, steps: int, size: tuple[int, int], strength: float = 1.0) -> list[float]:
        """Noise levels of a drawing of (width, height), down to 0: of that many steps from pure
        noise, or of a `strength`, above 0, of them and at least one, from as much noise."""
        ...

    def mu(self, size: tuple[int, int]) -> float:
        """By how much its sampler moves the noise levels of pictures of (width, height) towards
        noise (`training/flow.py`, `shift`)."""
        ...

    def image_tokens(self, width: int, height: int) -> int:
        """Length of the packed sequence of a picture of that size in pixels."""
        ...

    def velocity(
        self,
        x: Tensor,
        sigma: Tensor,
        conditioning: Conditioning,
        guidance: float,
        size: tuple[int, int],
    ) -> Tensor:
        """The network's prediction of eps - z at noisy latents x; sigma has shape (n,), size is
        (width, height) in pixels.

        With a guidance above 1, a base that is guided by two passes makes both of them.
        """
        ...

    def adapter_targets(self) -> list[str]:
        """Names of the Linear layers that a LoRA adapts by default."""
        ...

    def checkpoint_gradients(self, blocks: int | None = None) -> None:
        """Recomputes the activations of the first so many blocks, or of all, in the backward
        pass: less memory, more time. The choice says so, too."""
        ...

    @property
    def blocks(self) -> int:
        """How many blocks the network has."""
        ...

    def offload_blocks(self, count: int) -> None:
        """Has the weights of the first so many blocks wait in main memory from now on, with or
        without a LoRA on them."""
        ...

    def parts(self) -> Parts:
        """What outlives the network, for a family whose other network takes its place."""
        ...

    def release_encoders(self, *, keep_decoder: bool) -> None:
        """Frees the text encoders and, unless pictures are still to be decoded, the autoencoder."""
        ...

    def pipeline(self, start: Start = "text") -> Any:
        """diffusers' pipeline over the same components: from noise, from a picture (`image`,
        `strength`), within a mask of it (`mask_image`), or from noise and pictures that are looked
        at (`image`, a list). Where a row has several references, the starts from a picture take
        them as `references`."""
        ...

    def pipeline_arguments(self, conditioning: Conditioning, guidance: float) -> dict[str, Any]:
        """What that pipeline's call takes for one text's conditioning and a guidance."""
        ...


def moved(conditioning: Conditioning, device: torch.device) -> Conditioning:
    return {name: to_device(value, device) for name, value in conditioning.items()}


def to_device(value: Tensor, device: torch.device) -> Tensor:
    """On a device; a card copies it there by itself, and nobody waits."""
    if device.type != "cuda" or value.device.type != "cpu" or not torch.cuda.is_available():
        return value.to(device)
    return value.pin_memory().to(device, non_blocking=True)


def stack(rows: Sequence[Conditioning]) -> Conditioning:
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
