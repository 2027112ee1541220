"""`fluxbooth plan`: what a training would take on common cards, or on one of so many GB, without loading any weights.

Times are estimates: floating-point operations of a step over (MFU x the card's peak). The MFU are those that published FLUX.1
LoRA trainings reach: 0.20 to 0.38 on consumer cards, 0.10 on an H100, where overhead and not arithmetic is the limit. For the other cards
of data centres nothing sound is published: theirs are assumed, the less the faster the card.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fluxbooth import machine, models
from fluxbooth.errors import InputError
from fluxbooth.models import memory, shape
from fluxbooth.models.memory import GIB, PIXELS_PER_TOKEN, Choice, Dtype, Job, Room
from fluxbooth.models.shape import Shape
from fluxbooth.options import common_flags, complete_bases
from fluxbooth.specs import GenerateSpec, TrainSpec

TAKEN = 0.4  # GB of a card that its driver and a screen take
MAIN_MEMORY = 32.0  # GB, assumed of a machine that is not this one
SAME_MEMORY = (
    0.12  # share by which what a driver tells of a card's memory differs from what its box says: the same chip is sold with others
)
BUS = 20e9  # bytes a second that reach a card from main memory
CPU_SHARE = 0.4  # of the speed of a float32 matrix product that nano's training reaches on a CPU (docs/measurements.md)


@dataclass(frozen=True)
class Card:
    name: str
    vram: float  # GB as on its box, which are 2^30 bytes
    peak: float  # dense TFLOP/s with float32 sums, of bfloat16 or else of `dtype`; the makers' own figures
    mfu: float
    dtype: Dtype = "bfloat16"  # what it is fast in

    def room(self, main: float) -> Room:
        """What is free on it when nothing else runs, beside so many bytes of main memory."""
        because = "" if self.dtype == "bfloat16" else "because this card has no bfloat16 arithmetic"
        return Room((self.vram - TAKEN) * GIB, main, self.dtype, because)


# a training step reads the weights in a hundredth of the time that it computes with them, so bandwidth is no part of this
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
USUAL = ("H200", "H100", "L40S", "A100 40 GB", "RTX 5090", "RTX 4090", "RTX 4080", "RTX 4070", "RTX 3080", "RTX 4060")


def like(capacity: float, name: str = "") -> Card:
    """The card of the table that one of so many bytes is timed as: that of its product name, else the usual one of the nearest memory."""
    words = f" {name.replace('-', ' ')} "
    named = [card for card in CARDS if f" {card.name.partition(f' {card.vram} GB')[0]} " in words]
    near = [card for card in named if abs(card.vram * GIB / capacity - 1) < SAME_MEMORY]
    if near:
        return max(near, key=lambda card: len(card.name))
    return min((card for card in CARDS if card.name in USUAL), key=lambda card: abs(card.vram * GIB - capacity))


@functools.cache
def worker(device: str | None = None) -> Card:
    """What works on this machine, told without torch: the GPU of a device's name, or the first, as the driver knows it; else the CPU, timed
    for a moment."""
    found = None if device == "cpu" else machine.named_gpu(device)
    if found is None:
        return Card("this CPU", 0, machine.matrix_speed() / 1e12, CPU_SHARE)
    name, total = found
    return dataclasses.replace(like(total, name), name=name, vram=total / GIB)


def guessed_training(spec: TrainSpec, device: str | None = None) -> float | None:
    """Seconds a step would take here, by arithmetic; None where it would not fit."""
    row, card = models.find(spec.base), worker(device)
    size, jobs = _shape(row.train_source), _jobs(models.resolve(spec, 1))
    choice = Choice("float32")
    if card.vram:
        try:
            choice = memory.choose(row.name, size, jobs[-1], card.room(machine.free_memory())).choice
        except InputError:
            return None
    return _seconds(size, jobs, choice, card)


def guessed_drawing(spec: GenerateSpec, pixels: int, device: str | None = None) -> float:
    """Seconds that pictures of so many pixels each would take here, by arithmetic: forward passes alone."""
    row, card = models.find(spec.base), worker(device)
    size = _shape(row.source)
    forward = len(size.blocks) * sum(block_flops(size, row.text_length + pixels // PIXELS_PER_TOKEN**2))
    return spec.num_images * spec.steps * forward / (card.mfu * card.peak * 1e12)


def _jobs(spec: TrainSpec) -> list[Job]:
    """One for each area that a resolved spec trains at, the largest last."""
    assert spec.resolutions is not None and spec.text_length is not None and spec.batch_size is not None
    return [Job(side, spec.text_length, spec.batch_size, spec.rank) for side in sorted(spec.resolutions)]


def _seconds(size: Shape, jobs: list[Job], choice: Choice, card: Card) -> float:
    """A step, the mean over the areas."""
    return sum(seconds_per_step(size, job, choice, card) for job in jobs) / len(jobs)


def _shape(source: str) -> Shape:
    """Of a base's source; a single file's would take torch to read, and is FLUX.1's."""
    return shape.read(Path(source)) if Path(source).is_dir() else shape.FLUX1


def block_flops(size: Shape, tokens: int) -> tuple[float, float]:
    """Floating-point operations of a block's forward pass: its Linears, its attention."""
    return 2 * 12 * size.width**2 * tokens, 4 * tokens**2 * size.width


def step_flops(size: Shape, job: Job, choice: Choice) -> float:
    """Floating-point operations of a training step.

    With n tokens a picture: forward 2 x 12 d^2 n in a block's Linears and 4 n^2 d in its attention. Backward costs the Linears once
    more (a frozen weight has no gradient) and the attention two and a half times; a checkpointed block is computed again.
    """
    blocks = len(size.blocks)
    linear, attention = block_flops(size, job.text_length + job.image_tokens)
    passes = blocks * (2 * linear + 3.5 * attention) + choice.checkpointed * (linear + attention)
    return job.batch_size * passes


def seconds_per_step(size: Shape, job: Job, choice: Choice, card: Card) -> float:
    """Arithmetic, and the way of the offloaded blocks' weights over the bus, once for each pass."""
    passes = 2 + (choice.checkpointed > 0)  # forward, again for what is recomputed, backward
    away = memory.base_bytes(size, Choice(choice.dtype, choice.quantisation)) * choice.offloaded / len(size.blocks)
    return step_flops(size, job, choice) / (card.mfu * card.peak * 1e12) + passes * away / BUS


def flags(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    complete_bases(parser.add_argument("--base", default="flux-dev", help="model to train on (default: flux-dev)"))
    parser.add_argument("--vram", type=float, metavar="GB", help="plan for a card of this memory instead of the common ones")
    parser.add_argument("--ram", type=float, metavar="GB", help=f"main memory beside it (default: {MAIN_MEMORY:.0f})")
    parser.add_argument("--resolution", type=int, nargs="+", metavar="N", help="train at these areas (side of the square, pixels)")
    parser.add_argument("--rank", type=int, default=16, metavar="N", help="rank of the LoRA (default: 16)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="pictures a step")
    common_flags(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    """The plan as JSON, printed as a table unless JSON was asked for."""
    asked = {"rank": options.rank, "batch_size": options.batch_size, "resolutions": options.resolution}
    spec = TrainSpec.read({"class_name": "man", "base": options.base} | {k: v for k, v in asked.items() if v is not None})
    row = models.find(spec.base)
    if not row.trains:
        raise InputError(f"{row.name} cannot be trained, only generated with: plan for flux-dev, its LoRAs work on {row.name}.")
    spec, size = models.resolve(spec, 1), shape.of(row.train_source)
    jobs = _jobs(spec)
    rows = [_row(row.name, size, jobs, card, room) for card, room in _places(options)]
    job = {"resolutions": [job.side for job in jobs], "rank": spec.rank, "batch_size": spec.batch_size, "text_length": spec.text_length}
    if options.vram is not None and "problem" in rows[0]:
        raise InputError(rows[0]["problem"])
    result = {"base": row.name, "parameters": size.transformer, "job": job, "cards": rows}
    if not options.json:
        _show(result)
    return result


def _places(options: argparse.Namespace) -> list[tuple[Card, Room]]:
    """The cards to plan for and what is free there: the one asked for, or this machine's and the common ones."""
    for name in ("vram", "ram"):
        value = getattr(options, name)
        if value is not None and not 0 < value < 10_000:
            raise InputError(f"--{name} {value:g} will not do: it is a number of GB, as 24.")
    main = (options.ram or MAIN_MEMORY) * GIB
    if options.vram is not None:
        near = like(options.vram * GIB)
        card = dataclasses.replace(near, name=f"{options.vram:g} GB, as fast as {near.name}", vram=options.vram)
        return [(card, card.room(main))]
    here = machine.gpu()
    own = []
    if here is not None:
        card = dataclasses.replace(like(here.total, here.name), name=f"this machine's {here.name}", vram=here.total / GIB)
        free_main = options.ram * GIB if options.ram else machine.free_memory()
        own = [(card, Room(here.free, free_main, *machine.fast_dtype(here)))]
    return own + [(card, card.room(main)) for card in CARDS]


def _row(name: str, size: Shape, jobs: list[Job], card: Card, room: Room) -> dict[str, Any]:
    facts: dict[str, Any] = {"card": card.name, "vram_gb": round(card.vram, 1)}
    try:
        plan = memory.choose(name, size, jobs[-1], room)  # the largest pictures decide
    except InputError as error:
        return facts | {"fits": False, "problem": str(error)}
    seconds = _seconds(size, jobs, plan.choice, card)
    return facts | {
        "fits": True, **asdict(plan.choice), "checkpointing": plan.choice.checkpointing(size),
        "peak_gb": round(plan.estimate.device / GIB, 1), "main_memory_gb": round(plan.estimate.main / GIB, 1),
        "seconds_per_step": round(seconds, 3), "minutes_per_1000_steps": round(seconds * 1000 / 60, 1), "why": plan.why,
    }  # fmt: skip


def _show(result: dict[str, Any]) -> None:
    job = result["job"]
    sides = ", ".join(map(str, job["resolutions"]))
    print(f"Training {result['base']} ({result['parameters'] / 1e9:.2f} billion parameters) at {sides} px, rank {job['rank']}, ", end="")
    print(f"batch {job['batch_size']}, {job['text_length']} text tokens:")
    print(f"{'card':28}{'GB':>5}{'peak':>7}{'RAM':>6}  {'base':10}{'recomputed':24}{'encoders':10}{'offloaded':>10}{'min/1000':>10}")
    why = ""
    for row in result["cards"]:
        if not row["fits"]:
            print(f"{row['card']:28}{row['vram_gb']:5g}  {row['problem']}")
            continue
        base = row["dtype"] if row["quantisation"] == "none" else row["quantisation"]
        print(
            f"{row['card']:28}{row['vram_gb']:5g}{row['peak_gb']:7.1f}{row['main_memory_gb']:6.1f}  {base:10}{row['checkpointing']:24}"
            f"{row['encoders']:10}{row['offloaded']:10}{row['minutes_per_1000_steps']:10.1f}"
        )
        if row["why"] != why:  # cards of one size are told why once
            why = row["why"]
            print(f"    {why}")
    print("Times are estimates: operations / (MFU x peak), from published trainings; the mean over the sizes.")
