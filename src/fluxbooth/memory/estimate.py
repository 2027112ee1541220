"""Memory that a training or a generation takes, and what to give up so that it fits. Arithmetic
only: no torch, no weights.

Bytes throughout. d is the width, t the tokens of a batch (text and image together), e the bytes of
a number, u = t d e one activation. What a family's blocks keep for their backward pass was read off
autograd's saved tensors; `tests/memory/` holds the sums to measurement. On a GPU they are an upper
bound: torch's fused RMSNorm keeps 4 d t less in each block there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fluxbooth.errors import DoesNotFit
from fluxbooth.hardware import GIB, Dtype, Room
from fluxbooth.memory.size import Kind, Shape

PIXELS_PER_TOKEN = 16
REFERENCE_TOKENS = (1024 // PIXELS_PER_TOKEN) ** 2  # of a picture that is looked at, at most
CONTEXT = 0.7 * GIB  # what CUDA, cuBLAS and torch hold before the first tensor
SLACK = 1.04  # the allocator's rounding and holes
KEPT_FREE = 0.05  # of a card, for what no estimate knows of
PROCESS = 0.6 * GIB  # main memory of Python, torch and the libraries
CUDA_PROCESS = 3 * GIB  # and with CUDA
WRITTEN = {"bfloat16": 2, "float32": 4}  # bytes of a number
# bytes of a weight; nf4 has a scale for each 64
QUANTISED = {"int8": 1.0, "fp8": 1.0, "nf4": 0.5 + 1 / 64 + 4 / (64 * 256)}
# float32 numbers kept for each parameter
OPTIMIZER_STATES = {"adamw": 2.0, "adamw8bit": 0.5, "prodigy": 4.0}
Quantisation = Literal["none", "int8", "fp8", "nf4"]
# on the card throughout; on it only while there is something to encode; never on it
Encoders = Literal["stay", "leave", "cpu"]


@dataclass(frozen=True)
class Job:
    """What is to be trained."""

    side: int  # of a square of the largest area that is trained at, pixels
    text_length: int
    batch_size: int = 1
    rank: int = 16
    optimizer: str = "adamw"
    ema: bool = False
    sample_side: int = 0  # of square pictures drawn on the way, pixels; 0: none are
    # the base is in memory before and after, also while texts and photos are encoded
    resident: bool = False

    @property
    def image_tokens(self) -> int:
        return (self.side // PIXELS_PER_TOKEN) ** 2

    @property
    def tokens(self) -> int:
        return self.batch_size * (self.text_length + self.image_tokens)


@dataclass(frozen=True)
class Choice:
    """What is done to fit: the fields from `quantisation` on are given up one after the other."""

    dtype: Dtype = "bfloat16"  # computed in
    quantisation: Quantisation = "none"  # of the Linear layers of the blocks
    # blocks, from the first on, that recompute their activations in the backward pass
    checkpointed: int = 0
    encoders: Encoders = "stay"
    # blocks, from the first on, whose weights wait in main memory for their turn
    offloaded: int = 0
    # what weights that are not quantised are kept in, and cast from at use; None: as computed in
    stored: Dtype | None = None

    @property
    def kept(self) -> Dtype:
        return self.stored or self.dtype

    @property
    def cast_at_use(self) -> bool:
        """Whether a Linear of a block makes a copy of its weight to compute with."""
        return self.quantisation != "none" or (self.kept, self.dtype) == ("bfloat16", "float32")

    def checkpointing(self, shape: Shape) -> str:
        """In words: none, some (how many) or all."""
        total = len(shape.blocks)
        return {0: "none", total: "all"}.get(
            self.checkpointed, f"some ({self.checkpointed} of {total} blocks)"
        )


@dataclass(frozen=True)
class Estimate:
    """Peak bytes by what they are for. Without a GPU `device` is main memory, too."""

    base: float
    adapter: float  # LoRA, optimiser and moving average
    step: float  # activations and gradients at their peak
    encoding: float  # the whole peak while texts and photos are encoded
    device: float  # the peak of it all, with what CUDA and the allocator add
    main: float  # main memory


@dataclass(frozen=True)
class Plan:
    choice: Choice
    estimate: Estimate
    why: str  # in one line


def estimate(shape: Shape, job: Job, choice: Choice, *, gpu: bool = True) -> Estimate:
    """Peak memory of a training."""
    e = WRITTEN[choice.dtype]
    base = base_bytes(shape, choice)
    adapter = shape.adapter(job.rank) * 4 * (1 + OPTIMIZER_STATES[job.optimizer] + job.ema)
    # a checkpoint's copy
    step = max(
        step_bytes(shape, job, choice),
        shape.adapter(job.rank) * 4 * OPTIMIZER_STATES[job.optimizer],
    )
    encoders, autoencoder = shape.encoders_used * WRITTEN[choice.kept], shape.autoencoder * e
    # the autoencoder's own peak, measured; photos are encoded in float32, beside a base that is in
    # memory only where that fits
    exact = e if job.resident else 4
    pixels = 5 * shape.autoencoder_channels * job.side**2 * exact
    encoding = shape.autoencoder * exact + pixels + (0 if choice.encoders == "cpu" else encoders)
    decodes = choice.encoders == "stay" or job.sample_side or job.resident
    kept = (autoencoder if decodes else 0) + (encoders if choice.encoders == "stay" else 0)
    drawing = drawing_bytes(shape, job.sample_side, job.text_length, e) if job.sample_side else 0
    peak = max(
        base + adapter + max(step, drawing) + kept,
        encoding + (base if choice.encoders == "stay" or job.resident else 0),
    )
    return _estimate(shape, choice, base, adapter, step, encoding, peak, gpu)


def estimate_generation(
    shape: Shape,
    side: int,
    text_length: int,
    choice: Choice,
    *,
    references: int = 0,
    loras: float = 0,
    resident: bool = False,
    gpu: bool = True,
) -> Estimate:
    """Peak memory of drawing one square picture of `side` pixels, with so many pictures that are
    looked at, and so many bytes of LoRAs; with a base that is `resident` also while texts are
    encoded."""
    e = WRITTEN[choice.dtype]
    base = base_bytes(shape, choice)
    encoders = shape.encoders_used * WRITTEN[choice.kept]
    autoencoder = shape.autoencoder * e
    drawing = drawing_bytes(shape, side, text_length, e, references)
    kept = base + autoencoder + (encoders if choice.encoders == "stay" else 0)
    encoding = kept if choice.encoders == "stay" else 0 if choice.encoders == "cpu" else encoders
    if resident and choice.encoders == "leave":
        encoding += kept
    return _estimate(
        shape,
        choice,
        base,
        loras,
        drawing,
        encoding,
        max(kept + loras + drawing, encoding),
        gpu,
    )


def drawing_bytes(
    shape: Shape, side: int, text_length: int, number: int, references: int = 0
) -> float:
    """Peak of the activations of one square picture, in numbers of so many bytes: while it is
    denoised, or while it is decoded."""
    tokens = Job(side, text_length).tokens + references * REFERENCE_TOKENS
    forward = shape.drawing * tokens * shape.width * number
    decoding = 6 * shape.autoencoder_channels * side**2 * number  # measured
    return max(forward, decoding)


def _estimate(
    shape: Shape,
    choice: Choice,
    base: float,
    adapter: float,
    step: float,
    encoding: float,
    peak: float,
    gpu: bool,
) -> Estimate:
    if not gpu:
        # the text encoders are read whole
        whole = max(peak, shape.encoders * WRITTEN[choice.kept]) * SLACK + PROCESS
        return Estimate(base, adapter, step, encoding, whole, whole)
    waiting = sum(_weights(shape, kind, choice) for kind in shape.blocks[: choice.offloaded])
    # they come onto the card by way of main memory, and leave to there
    encoders = shape.encoders * WRITTEN[choice.kept]
    return Estimate(
        base, adapter, step, encoding, peak * SLACK + CONTEXT, CUDA_PROCESS + max(waiting, encoders)
    )


def base_bytes(shape: Shape, choice: Choice) -> float:
    """The transformer's weights on the card; of offloaded blocks one Linear at a time."""
    whole = shape.other * max(WRITTEN[choice.dtype], WRITTEN[choice.kept]) + sum(
        _weights(shape, kind, choice) for kind in shape.blocks
    )
    away = sum(_weights(shape, kind, choice) for kind in shape.blocks[: choice.offloaded])
    at_work = _bytes_of_a_weight(choice) * shape.largest_linear if choice.offloaded else 0
    return whole - away + at_work


def with_base(room: Room, shape: Shape, there: Choice) -> Room:
    """The room of which a base that is in memory already takes its part."""
    encoders = shape.encoders_used * WRITTEN[there.kept]
    autoencoder = shape.autoencoder * WRITTEN[there.dtype]
    base = base_bytes(shape, there) + autoencoder
    if room.device is None:
        return replace(room, main=room.main + base + encoders)
    waiting = sum(_weights(shape, kind, there) for kind in shape.blocks[: there.offloaded])
    stay = there.encoders == "stay"
    return replace(
        room,
        device=room.device + base + (encoders if stay else 0),
        main=room.main + waiting + (0 if stay else encoders),
    )


def step_bytes(shape: Shape, job: Job, choice: Choice) -> float:
    """Peak of activations and gradients over a forward and a backward pass, above what stays
    between steps."""
    e, d, blocks = WRITTEN[choice.dtype], shape.width, shape.blocks
    u = job.tokens * d * e
    # while a Linear works its weight is there once more to compute with, and torchao makes it in
    # two steps
    matrix = e * (2 if choice.quantisation in ("int8", "fp8") else 1) if choice.cast_at_use else 0
    rope = 2 * (job.text_length + job.image_tokens) * d // shape.heads * 4
    output = job.batch_size * job.image_tokens * shape.in_channels * (e + 4)
    saved = {
        kind: shape.saved_bytes(kind, job.tokens, job.batch_size, job.rank, e)
        for kind in set(blocks)
    }
    live = peak = rope
    for number, kind in enumerate(blocks):
        live += u if number < choice.checkpointed else saved[kind]
        peak = max(peak, live + shape.forward[kind] * u + shape.linear_at_peak * matrix)
    live += u + output
    gradients = 0
    for number, kind in reversed(list(enumerate(blocks))):
        again = number < choice.checkpointed
        others = live if again else live - saved[kind]
        block = shape.backward_bytes(kind, saved[kind], u, matrix)
        peak = max(peak, others + block + gradients)
        gradients += 4 * shape.block_adapter(kind, job.rank)
        live -= u if again else saved[kind]
    return peak


def _weights(shape: Shape, kind: Kind, choice: Choice) -> float:
    return shape.block_weights(kind) * _bytes_of_a_weight(choice)


def _bytes_of_a_weight(choice: Choice) -> float:
    return QUANTISED.get(choice.quantisation, WRITTEN[choice.kept])


def choose(name: str, shape: Shape, job: Job, room: Room, **by_hand: Any) -> Plan:
    """What to give up so that a training fits: nothing if that fits, else quality last and speed
    before it.

    In this order: blocks recompute their activations, as few as will do; the base is quantised
    (int8, then nf4; fp8 takes what int8 takes and is less exact, so it comes only by hand); blocks
    wait in main memory. `by_hand` holds fields of Choice that are not to be chosen. Raises
    DoesNotFit if nothing fits.
    """

    def measured(choice: Choice) -> Estimate:
        return estimate(shape, job, choice, gpu=room.device is not None)

    asked = f"a rank-{job.rank} LoRA at {job.side} px, batch {job.batch_size}"
    return _first_fit(
        name,
        shape,
        room,
        asked,
        list(_candidates(shape, room, by_hand, range(len(shape.blocks) + 1), job.resident)),
        measured,
    )


def choose_generation(
    name: str,
    shape: Shape,
    side: int,
    text_length: int,
    room: Room,
    *,
    references: int = 0,
    loras: float = 0,
    resident: bool = False,
    **by_hand: Any,
) -> Plan:
    """The same for drawing one square picture, with a base that stays in memory if `resident`."""

    def measured(choice: Choice) -> Estimate:
        return estimate_generation(
            shape,
            side,
            text_length,
            choice,
            references=references,
            loras=loras,
            resident=resident,
            gpu=room.device is not None,
        )

    return _first_fit(
        name,
        shape,
        room,
        f"a picture of {side} px",
        list(_candidates(shape, room, by_hand, [0], resident)),
        measured,
    )


def _candidates(
    shape: Shape,
    room: Room,
    by_hand: dict[str, Any],
    checkpointed: Sequence[int],
    resident: bool,
) -> Iterator[Choice]:
    """Every choice in order of preference.

    The text encoders of a base that stays in memory stay, too, if blocks that are recomputed make
    the room: each new text would wait for them for seconds. Of one that is loaded for a single job
    they leave, which costs nothing.
    """

    def options(field: str, choices: Sequence[Any]) -> Sequence[Any]:
        return [by_hand[field]] if field in by_hand else choices

    gpu = room.device is not None
    quantisations = options("quantisation", ["none", "int8", "nf4"])
    checkpointed = options("checkpointed", checkpointed)
    places = ["stay", "leave", "cpu"] if resident else ["leave", "cpu"]
    places = options("encoders", places if gpu else ["leave"])
    levels = [
        (q, place, count, 0) for q in quantisations for place in places for count in checkpointed
    ]
    levels += [
        (quantisations[-1], place, checkpointed[-1], away)
        for away in (range(1, len(shape.blocks) + 1) if gpu else [])
        for place in places
        if place != "stay" or len(places) == 1
    ]
    dtype, stored = by_hand.get("dtype", room.dtype), by_hand.get("stored")
    for quantisation, place, count, away in levels:
        away = by_hand.get("offloaded", away)
        yield Choice(dtype, quantisation, count, place, away, stored)


def _first_fit(
    name: str,
    shape: Shape,
    room: Room,
    asked: str,
    candidates: Sequence[Choice],
    measured: Callable[[Choice], Estimate],
) -> Plan:
    limit = room.main if room.device is None else (1 - KEPT_FREE) * room.device
    for choice in candidates:
        found = measured(choice)
        if found.device <= limit and found.main <= room.main:
            return Plan(choice, found, _why(shape, choice, measured, room))
    least = min((measured(choice) for choice in candidates), key=lambda found: found.device)
    place = "main memory" if room.device is None else "GPU memory"
    if least.device <= limit:
        least = min(
            (e for e in map(measured, candidates) if e.device <= limit),
            key=lambda found: found.main,
        )
        raise DoesNotFit(
            f"{name} does not fit: with {(room.device or 0) / GIB:.1f} GB of GPU memory, {asked} "
            f"needs {least.main / GIB:.1f} GB of main memory and {room.main / GIB:.1f} GB are "
            "free: close other programs, or use a machine with more memory."
        )
    free = (
        f"{room.main / GIB:.1f} GB are free"
        if room.device is None
        else f"{room.device / GIB:.1f} GB are free, of which it leaves a twentieth"
    )
    raise DoesNotFit(
        f"{name} does not fit: {asked} needs {least.device / GIB:.1f} GB of {place} when "
        f"everything is given up, and {free}: use smaller pictures (--resolution), another --base, "
        "or more memory."
    )


def _why(shape: Shape, choice: Choice, measured: Callable[[Choice], Estimate], room: Room) -> str:
    """What was given up, each with the memory that it would have taken to keep it; and what is
    computed in, and why."""

    def needs(**fields: Any) -> str:
        return f"{measured(replace(choice, **fields)).device / GIB:.1f} GB"

    blocks, limit = len(shape.blocks), room.main if room.device is None else room.device
    reasons = []
    if choice.quantisation != "none":
        reasons.append(
            f"{choice.quantisation} base "
            f"({needs(quantisation='none', checkpointed=blocks, offloaded=0)} unquantised)"
        )
    if choice.checkpointed:
        reasons.append(
            f"{choice.checkpointed} of {blocks} blocks recomputed "
            f"({needs(checkpointed=0, offloaded=0)} with all activations kept)"
        )
    if choice.offloaded:
        reasons.append(
            f"{choice.offloaded} of {blocks} blocks wait in main memory "
            f"({needs(offloaded=0)} with all on the card)"
        )
    if choice.encoders == "cpu":
        reasons.append(f"texts encoded on the CPU ({needs(encoders='leave')} on the card)")
    said = f"{measured(choice).device / GIB:.1f} of {limit / GIB:.1f} GB: " + (
        "; ".join(reasons) or "nothing is given up"
    )
    return f"{said}{_dtype_reason(choice, room)}."


def _dtype_reason(choice: Choice, room: Room) -> str:
    if not room.because:  # another machine's
        return ""
    if choice.dtype == room.dtype:
        return f"; {choice.dtype}, {room.because}"
    if choice.dtype == "bfloat16":
        return "; bfloat16 as asked, many times slower than float32 on this processor"
    return f"; {choice.dtype}"
