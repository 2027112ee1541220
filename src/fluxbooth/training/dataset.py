"""Photos, read and cropped, become what training eats: clean latents in buckets of one shape, and
their captions' conditioning.

Everything is encoded once; afterwards the text encoders and the autoencoder leave memory. Small
sets (the usual 4-20 photos) stay in main memory, larger ones lie in a safetensors file and are read
through a memory map; each batch goes to where it is computed with by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from fluxbooth.files import save_tensors
from fluxbooth.generation.enhance import heads
from fluxbooth.models.family import Conditioning, Family, moved, stack, to_device
from fluxbooth.photos import buckets
from fluxbooth.photos.inspection import Photo
from fluxbooth.prompts.language import with_trigger
from fluxbooth.specs import FEWEST_TOKENS, ResolvedTrainSpec
from fluxbooth.training import flow

LARGEST_IN_MEMORY = 2 * 2**30  # bytes
CPU = torch.device("cpu")
EMPTY = ""  # the caption that stands for "no caption"


@dataclass(frozen=True)
class Example:
    """One photo at one area."""

    key: str  # of its latents in the store
    caption: str
    size: tuple[int, int]  # width x height in pixels, its bucket


@dataclass(frozen=True)
class Batch:
    z: Tensor  # clean latents, packed
    conditioning: Conditioning
    size: tuple[int, int]
    indices: tuple[int, ...]  # of the examples in it
    weight: Tensor | None = None  # of each latent in the loss, of their shape; None: all alike

    def part(self, rows: slice) -> Batch:
        return Batch(
            self.z[rows],
            {name: value[rows] for name, value in self.conditioning.items()},
            self.size,
            self.indices[rows],
            None if self.weight is None else self.weight[rows],
        )

    def to(self, device: torch.device) -> Batch:
        return replace(
            self,
            z=to_device(self.z, device),
            conditioning=moved(self.conditioning, device),
            weight=None if self.weight is None else to_device(self.weight, device),
        )


class Dataset:
    """The encoded photos of one training."""

    def __init__(
        self, examples: Sequence[Example], latents: Store, texts: Store, samples: Store
    ) -> None:
        self.examples = list(examples)
        self._latents, self._texts, self._samples = latents, texts, samples
        self._buckets: dict[tuple[int, int], list[int]] = {}
        for index, example in enumerate(examples):
            self._buckets.setdefault(example.size, []).append(index)

    def batch(self, indices: Sequence[int], without_caption: Sequence[bool] | None = None) -> Batch:
        """Examples of one bucket, some of them shown without their caption."""
        chosen = [self.examples[i] for i in indices]
        dropped = without_caption or [False] * len(chosen)
        texts = [
            EMPTY if drop else example.caption
            for example, drop in zip(chosen, dropped, strict=True)
        ]
        pictures = stack([self._latents[example.key] for example in chosen])
        return Batch(
            pictures["z"],
            stack([self._texts[text] for text in texts]),
            chosen[0].size,
            tuple(indices),
            pictures.get("weight"),
        )

    def batch_at(self, step: int, spec: ResolvedTrainSpec) -> Batch:
        """The batch of a step: it follows from (seed, step) alone."""
        round_number, place = divmod(step, len(self.examples))
        indices = self._round(round_number, spec)[place]
        draw = flow.generator(spec.seed, 2, step)
        dropped = (torch.rand(len(indices), generator=draw) < spec.caption_dropout).tolist()
        return self.batch(indices, dropped)

    def conditioning(self, text: str) -> Conditioning:
        """Of a sample prompt, as long as where it is drawn by."""
        return self._samples[text]

    def _round(self, number: int, spec: ResolvedTrainSpec) -> list[list[int]]:
        """As many full batches as there are examples, each of one bucket, in which every example
        comes batch-size times.

        A bucket of n examples is shuffled batch-size times over, which is just n batches.
        """
        draw, size = flow.generator(spec.seed, 1, number), spec.batch_size
        batches = []
        for bucket in self._buckets.values():
            stream = [
                bucket[i]
                for _ in range(size)
                for i in torch.randperm(len(bucket), generator=draw).tolist()
            ]
            batches += [stream[start : start + size] for start in range(0, len(stream), size)]
        return [batches[i] for i in torch.randperm(len(batches), generator=draw).tolist()]

    def sample(self, most: int, seed: int, size: int) -> Iterator[Batch]:
        """At most `most` examples, the same for a seed, in batches of at most `size`, for the
        validation loss."""
        chosen = {
            *torch.randperm(len(self.examples), generator=flow.generator(seed, 5))[:most].tolist()
        }
        for bucket in self._buckets.values():
            ours = [i for i in bucket if i in chosen]
            for start in range(0, len(ours), size):
                yield self.batch(ours[start : start + size])


class Store:
    """Named tensors by key, in main memory, or in a file once they outgrow it."""

    def __init__(self, path: Path, largest_in_memory: int = LARGEST_IN_MEMORY) -> None:
        self._path, self._limit = path, largest_in_memory
        self._memory: dict[str, Conditioning] = {}
        self._numbers: dict[str, int] = {}

    def fill(self, rows: dict[str, Conditioning]) -> None:
        if sum(t.nbytes for row in rows.values() for t in row.values()) <= self._limit:
            self._memory = {key: moved(row, CPU) for key, row in rows.items()}
            return
        self._numbers = {key: number for number, key in enumerate(rows)}
        save_tensors(
            self._path,
            {
                f"{self._numbers[k]}.{name}": t.contiguous()
                for k, row in rows.items()
                for name, t in row.items()
            },
        )

    def __getitem__(self, key: str) -> Conditioning:
        if key in self._memory:
            return self._memory[key]
        prefix = f"{self._numbers[key]}."
        with safe_open(self._path, "pt") as file:
            return {
                name.removeprefix(prefix): file.get_tensor(name)
                for name in file.keys()  # noqa: SIM118
                if name.startswith(prefix)
            }


def prepare(
    photos: Sequence[Photo],
    family: Family,
    spec: ResolvedTrainSpec,
    cache: Path,
    aside: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda sentence: None,
    *,
    drawn: Sequence[str] = (),
    keep_encoders: bool = False,
) -> Dataset:
    """Crops, encodes and captions the photos; `spec` is resolved, `drawn` are texts that are drawn
    on the way, `cache` is a folder for what memory does not hold.

    A photo without a caption gets the trigger words as its caption. Frees the family's encoders,
    unless they are to stay. `aside` is called before each photo and each text; `warn` is told what
    a user would want to know, maybe more than once.
    """
    examples, latents = [], {}
    for number, photo in enumerate(photos):
        for side in spec.resolutions:
            aside()
            size = buckets.bucket(photo.width, photo.height, side * side)
            key = f"{number}@{side}"
            pixels = buckets.fit(photo.pixels, size)
            latents[key] = {"z": family.encode_photo(to_tensor(pixels), warn).cpu()}
            if spec.outside_head < 1:
                weight = _weight(pixels, family, spec.outside_head, latents[key]["z"])
                latents[key]["weight"] = weight
            examples.append(Example(key, caption_of(photo, spec), size))
    captions = [*(example.caption for example in examples), EMPTY]
    texts, samples = dict[str, Conditioning](), dict[str, Conditioning]()
    for kept, wanted, length in (
        (texts, captions, spec.text_length),
        (samples, drawn, family.row.text_length),
    ):
        for text in dict.fromkeys(wanted):
            aside()
            told = family.encode_text([text], length)
            kept[text] = moved(told, torch.device("cpu"))
    if keep_encoders:
        family.park_encoders()
    else:
        family.release_encoders(keep_decoder=bool(drawn))
    stores = []
    for name, rows in (("latents", latents), ("texts", texts), ("samples", samples)):
        stores.append(Store(cache / f"{name}.safetensors"))
        stores[-1].fill(rows)
    return Dataset(examples, *stores)


def caption_of(photo: Photo, spec: ResolvedTrainSpec) -> str:
    return with_trigger(photo.caption or spec.trigger, spec.trigger)


def fitted_length(photos: Sequence[Photo], family: Family, spec: ResolvedTrainSpec) -> int:
    """How many tokens the text encoder is to read of a caption: what the spec says, or no more
    than the longest one has, in eights."""
    if not spec.fit_text:
        return spec.text_length
    longest = max(family.count_tokens(caption_of(photo, spec)) for photo in photos)
    return min(spec.text_length, max(FEWEST_TOKENS, -(-longest // 8) * 8))


def _weight(pixels: np.ndarray, family: Family, outside: float, z: Tensor) -> Tensor:
    """Of each latent of a picture, uint8 H x W x 3, in the loss: 1 within a head, `outside`
    elsewhere, between them where a head covers part of it; 1 everywhere if no head is found."""
    height, width = pixels.shape[:2]
    boxes = heads.find(Image.fromarray(pixels), family.row)
    if not boxes:
        return torch.ones_like(z)
    grid = family.unpack(z, (width, height))
    rows, columns = grid.shape[-2:]
    covered = [_covered(box, (width, height), (rows, columns)) for box in boxes]
    weight = outside + (1 - outside) * torch.stack(covered).amax(0)
    return family.pack(weight.to(grid).expand_as(grid).contiguous())


def _covered(box: heads.Box, size: tuple[int, int], cells: tuple[int, int]) -> Tensor:
    """The share of each cell of a picture's grid (rows x columns) that lies in a box of pixels."""
    left, top, right, bottom = box

    def along(start: float, end: float, pixels: int, count: int) -> Tensor:
        edges = torch.arange(count + 1) * (pixels / count)
        return (edges[1:].clamp(max=end) - edges[:-1].clamp(min=start)).clamp(min=0) * (
            count / pixels
        )

    down, across = along(top, bottom, size[1], cells[0]), along(left, right, size[0], cells[1])
    return down[:, None] * across[None]


def to_tensor(pixels: np.ndarray) -> Tensor:
    """A picture in its bucket, uint8 H x W x 3, as float 1 x 3 x H x W in -1..1."""
    return torch.tensor(pixels).permute(2, 0, 1)[None].float() / 127.5 - 1
