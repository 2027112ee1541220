"""Seconds that a training or a picture takes on a card, by the card's public figures."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

from fluxbooth import hardware
from fluxbooth.errors import InputError
from fluxbooth.hardware import GIB, Dtype, Room
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import PIXELS_PER_TOKEN, REFERENCE_TOKENS, Choice, Job
from fluxbooth.memory.size import Shape
from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.specs import FEWEST_TOKENS, GenerateSpec, ResolvedTrainSpec, TrainSpec

TAKEN = 0.4  # GB of a card that its driver and a screen take
SAME_MEMORY = (
    # share by which what a driver tells of a card's memory differs from what its box says: the same
    # chip is sold with others
    0.12
)
BUS = 20e9  # bytes a second that reach a card from main memory
# of the speed of a float32 matrix product that nano's training reaches on a CPU
# (docs/measurements.md)
CPU_SHARE = 0.4


@dataclass(frozen=True)
class Card:
    name: str
    vram: float  # GB as on its box, which are 2^30 bytes
    # dense TFLOP/s with float32 sums, of bfloat16 or else of `dtype`; the makers' own figures
    peak: float
    mfu: float
    dtype: Dtype = "bfloat16"  # what it is fast in

    def room(self, main: float) -> Room:
        """What is free on it when nothing else runs, beside so many bytes of main memory."""
        because = "" if self.dtype == "bfloat16" else "because this card has no bfloat16 arithmetic"
        return Room((self.vram - TAKEN) * GIB, main, self.dtype, because)


# a training step reads the weights in a hundredth of the time that it computes with them, so
# bandwidth is no part of this
CARDS = (
    Card("B200", 180, 2250, 0.05),
    Card("H200", 141, 989, 0.10),
    Card("RTX PRO 6000", 96, 504, 0.20),
    Card("H100", 80, 989, 0.10),
    Card("A100 80 GB", 80, 312, 0.20),
    Card("L40S", 48, 362, 0.20),
    Card("RTX 6000 Ada", 48, 364, 0.20),
    Card("A40", 48, 150, 0.25),
    Card("RTX A6000", 48, 155, 0.25),
    Card("A100 40 GB", 40, 312, 0.20),
    Card("RTX 5090", 32, 209, 0.25),
    Card("RTX 4090", 24, 165, 0.25),
    Card("RTX 3090", 24, 71, 0.25),
    Card("L4", 24, 121, 0.20),
    Card("A10", 24, 125, 0.25),
    Card("A10G", 24, 70, 0.25),
    Card("RTX 5080", 16, 113, 0.25),
    Card("RTX 5070 Ti", 16, 88, 0.25),
    Card("RTX 5060 Ti", 16, 47, 0.25),
    Card("RTX 4080", 16, 97, 0.25),
    Card("RTX 4070 Ti SUPER", 16, 88, 0.25),
    Card("RTX 4060 Ti", 16, 44, 0.25),
    Card("T4", 16, 8.1, 0.40, "float32"),
    Card("RTX 5070", 12, 62, 0.25),
    Card("RTX 4070", 12, 58, 0.25),
    Card("RTX 3060", 12, 26, 0.25),
    Card("RTX 3080", 10, 60, 0.25),
    Card("RTX 5060", 8, 38, 0.25),
    Card("RTX 4060", 8, 30, 0.25),
)
# one for each size of memory, of those that many have: a card of so many GB is timed as one of them
USUAL = (
    "H200",
    "H100",
    "L40S",
    "A100 40 GB",
    "RTX 5090",
    "RTX 4090",
    "RTX 4080",
    "RTX 4070",
    "RTX 3080",
    "RTX 4060",
)


def like(capacity: float, name: str = "") -> Card:
    """The card of the table that one of so many bytes is timed as: that of its product name,
    else the usual one of the nearest memory."""
    words = f" {name.replace('-', ' ')} "
    named = [card for card in CARDS if f" {card.name.partition(f' {card.vram} GB')[0]} " in words]
    near = [card for card in named if abs(card.vram * GIB / capacity - 1) < SAME_MEMORY]
    if near:
        return max(near, key=lambda card: len(card.name))
    return min(
        (card for card in CARDS if card.name in USUAL),
        key=lambda card: abs(card.vram * GIB - capacity),
    )


@functools.cache
def worker(device: str | None = None) -> Card:
    """What works on this machine, told without torch: the GPU of a device's name, or the first, as
    the driver knows it; else the CPU, timed for a moment.
    """
    found = None if device == "cpu" else hardware.named_gpu(device)
    if found is None:
        return Card("this CPU", 0, hardware.matrix_speed() / 1e12, CPU_SHARE)
    name, total = found
    return dataclasses.replace(like(total, name), name=name, vram=total / GIB)


def guessed_training(spec: TrainSpec, device: str | None = None) -> float | None:
    """Seconds a step would take here, by arithmetic; None where it would not fit."""
    row, card = registry.find(spec.base), worker(device)
    size = registry.description_of(row).shape(row.train_source)
    jobs = _jobs(registry.resolve(spec, 1))
    choice = Choice("float32")
    if card.vram:
        try:
            choice = estimate.choose(
                row.name, size, jobs[-1], card.room(hardware.free_memory())
            ).choice
        except InputError:
            return None
    return _seconds(size, jobs, choice, card)


def guessed_drawing(spec: GenerateSpec, pixels: int, device: str | None = None) -> float:
    """Seconds that pictures of so many pixels each would take here, by arithmetic: forward
    passes alone."""
    row, card = registry.find(spec.base), worker(device)
    steps = registry.resolve_drawing(spec).steps
    tokens = _tokens(pixels, registry.looks_at(row, spec.asked()))
    return spec.num_images * steps * _seconds_forward(row, tokens, card)


def slower(row: Base, pixels: int, looks_at: int) -> float:
    """How many times as long a picture of so many pixels takes while so many are looked at, by
    arithmetic."""
    if not looks_at:
        return 1.0
    alone, looking = (_flops_forward(row, _tokens(pixels, count)) for count in (0, looks_at))
    return looking / alone


def _tokens(pixels: int, looks_at: int) -> int:
    return pixels // PIXELS_PER_TOKEN**2 + looks_at * REFERENCE_TOKENS


def seconds_per_picture(row: Base, card: Card) -> float:
    """Of the base's native size in its usual steps: forward passes alone."""
    return row.steps * _seconds_forward(row, row.native_area // PIXELS_PER_TOKEN**2, card)


def _seconds_forward(row: Base, tokens: int, card: Card) -> float:
    """A step of a drawing, of so many tokens beside the text's."""
    return _flops_forward(row, tokens) / (card.mfu * card.peak * 1e12)


def _flops_forward(row: Base, tokens: int) -> float:
    size, whole = registry.description_of(row).shape(row.source), row.text_length + tokens
    return (1 + row.two_pass) * sum(sum(size.block_flops(kind, whole)) for kind in size.blocks)


def _jobs(spec: ResolvedTrainSpec) -> list[Job]:
    """One for each area that a resolved spec trains at, the largest last. A text that is fitted to
    captions takes as few tokens as it may: those that are proposed need no more."""
    tokens = min(spec.text_length, FEWEST_TOKENS) if spec.fit_text else spec.text_length
    return [Job(side, tokens, spec.batch_size, spec.rank) for side in sorted(spec.resolutions)]


def _seconds(size: Shape, jobs: list[Job], choice: Choice, card: Card) -> float:
    """A step, the mean over the areas."""
    return sum(seconds_per_step(size, job, choice, card) for job in jobs) / len(jobs)


def step_flops(size: Shape, job: Job, choice: Choice) -> float:
    """Floating-point operations of a training step.

    Backward costs a block's Linears once more (a frozen weight has no gradient) and its attention
    two and a half times; a checkpointed block is computed again.
    """
    passes = 0.0
    for number, kind in enumerate(size.blocks):
        linear, attention = size.block_flops(kind, job.text_length + job.image_tokens)
        passes += 2 * linear + 3.5 * attention
        passes += linear + attention if number < choice.checkpointed else 0
    return job.batch_size * passes


def seconds_per_step(size: Shape, job: Job, choice: Choice, card: Card) -> float:
    """Arithmetic, and the way of the offloaded blocks' weights over the bus, once for each pass."""
    passes = 2 + (choice.checkpointed > 0)  # forward, again for what is recomputed, backward
    away = (
        estimate.base_bytes(size, Choice(choice.dtype, choice.quantisation))
        * choice.offloaded
        / len(size.blocks)
    )
    return step_flops(size, job, choice) / (card.mfu * card.peak * 1e12) + passes * away / BUS
