"""Photos, read and cropped, become what training eats: clean latents in buckets of one shape, and
their captions' conditioning.

Everything is encoded once; afterwards the text encoders and the autoencoder leave memory. Small
sets (the usual 4-20 photos) stay in memory, larger ones lie in a safetensors file and are read
through a memory map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from fluxbooth.files import save_tensors
from fluxbooth.models.family import Conditioning, Family, stack
from fluxbooth.photos import buckets
from fluxbooth.photos.inspection import Photo
from fluxbooth.prompts.language import with_trigger
from fluxbooth.specs import ResolvedTrainSpec
from fluxbooth.training import flow

LARGEST_IN_MEMORY = 2 * 2**30  # bytes
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

    def part(self, rows: slice) -> Batch:
        return Batch(
            self.z[rows],
            {name: value[rows] for name, value in self.conditioning.items()},
            self.size,
            self.indices[rows],
        )


class Dataset:
    """The encoded photos of one training."""

    def __init__(self, examples: Sequence[Example], latents: Store, texts: Store) -> None:
        self.examples = list(examples)
        self._latents, self._texts = latents, texts
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
        z = torch.cat([self._latents[example.key]["z"] for example in chosen])
        return Batch(
            z, stack([self._texts[text] for text in texts]), chosen[0].size, tuple(indices)
        )

    def batch_at(self, step: int, spec: ResolvedTrainSpec) -> Batch:
        """The batch of a step: it follows from (seed, step) alone."""
        round_number, place = divmod(step, len(self.examples))
        indices = self._round(round_number, spec)[place]
        draw = flow.generator(spec.seed, 2, step)
        dropped = (torch.rand(len(indices), generator=draw) < spec.caption_dropout).tolist()
        return self.batch(indices, dropped)

    def conditioning(self, text: str) -> Conditioning:
        """Of a caption or a sample prompt."""
        return self._texts[text]

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
    """Named tensors by key, in memory, or in a file once they outgrow it."""

    def __init__(self, path: Path, largest_in_memory: int = LARGEST_IN_MEMORY) -> None:
        self._path, self._limit = path, largest_in_memory
        self._memory: dict[str, Conditioning] = {}
        self._numbers: dict[str, int] = {}

    def fill(self, rows: dict[str, Conditioning]) -> None:
        if sum(t.nbytes for row in rows.values() for t in row.values()) <= self._limit:
            self._memory = rows
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
    *,
    keep_encoders: bool = False,
) -> Dataset:
    """Crops, encodes and captions the photos; `spec` is resolved, `cache` is a folder for what
    memory does not hold.

    A photo without a caption file gets the trigger words as its caption. Frees the family's
    encoders, unless they are to stay. `aside` is called before each photo and each text.
    """
    examples, latents = [], {}
    for number, photo in enumerate(photos):
        for side in spec.resolutions:
            aside()
            size = buckets.bucket(photo.width, photo.height, side * side)
            key = f"{number}@{side}"
            latents[key] = {"z": family.encode_image(to_tensor(photo, size))}
            examples.append(
                Example(key, with_trigger(photo.caption or spec.trigger, spec.trigger), size)
            )
    texts: dict[str, Conditioning] = {}
    captions = (example.caption for example in examples)
    for text in dict.fromkeys([*captions, EMPTY, *spec.sample_prompts]):
        aside()
        texts[text] = family.encode_text([text], spec.text_length)
    if keep_encoders:
        family.park_encoders()
    else:
        family.release_encoders(keep_decoder=bool(spec.sample_prompts))
    stores = Store(cache / "latents.safetensors"), Store(cache / "texts.safetensors")
    stores[0].fill(latents)
    stores[1].fill(texts)
    return Dataset(examples, *stores)


def to_tensor(photo: Photo, size: tuple[int, int]) -> Tensor:
    """The photo in its bucket, float 1 x 3 x H x W in -1..1."""
    pixels = torch.tensor(buckets.fit(photo.pixels, size))
    return pixels.permute(2, 0, 1)[None].float() / 127.5 - 1
