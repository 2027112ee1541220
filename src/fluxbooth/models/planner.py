"""The plan by which a training or a generation fits this machine: what its spec says by hand, and
for the rest what memory asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fluxbooth import hardware
from fluxbooth.errors import InputError
from fluxbooth.hardware import Room
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice, Job, Plan
from fluxbooth.memory.size import Shape
from fluxbooth.models import hub, registry
from fluxbooth.models.base import Base
from fluxbooth.specs import GenerateSpec, ResolvedTrainSpec, TrainSpec

# what is settled when a base comes into memory, and holds for everything that is done with it there
SETTLED = ("dtype", "stored", "quantisation", "encoders", "offloaded")


def training(
    spec: ResolvedTrainSpec, room: Room | None = None, there: Choice | None = None
) -> Plan:
    """The plan of a training; `spec` is resolved. `there` is the choice of a base that is in memory
    already.

    Raises InputError if nothing fits, or the spec wants the base otherwise than it is there.
    """
    registry.find_to_train(spec.base)
    row, size, room = _found(spec, room, there)
    by_hand = _by_hand(spec, row, size, room, there)
    checkpointed = {"none": 0, "some": len(size.blocks) // 2, "all": len(size.blocks)}.get(
        spec.gradient_checkpointing
    )
    if checkpointed is not None:
        by_hand["checkpointed"] = checkpointed
    return estimate.choose(row.name, size, job(spec, resident=there is not None), room, **by_hand)


def job(spec: ResolvedTrainSpec, *, resident: bool = False) -> Job:
    """What of a resolved spec decides its memory: the largest pictures, and all that comes with
    them."""
    return Job(
        max(spec.resolutions),
        spec.text_length,
        spec.batch_size,
        spec.rank,
        spec.optimizer,
        spec.ema is not None,
        registry.find(spec.base).native_side if draws_in_training(spec) else 0,
        resident,
    )


def draws_in_training(spec: ResolvedTrainSpec) -> bool:
    """Whether a training draws pictures: samples, or those by which its result is chosen."""
    chooses = spec.choose_within > 0 and registry.find(spec.base).reader is not None
    return bool(spec.sample_prompts) or chooses


def generation(
    spec: GenerateSpec,
    side: int,
    room: Room | None = None,
    there: Choice | None = None,
    loras: float = 0,
) -> Plan:
    """The plan of drawing pictures, one at a time, with so many bytes of LoRAs. `side` is of a
    square of the largest area that is drawn at once, in pixels; what the spec looks at comes to
    it."""
    row, size, room = _found(spec, room, there)
    by_hand = _by_hand(spec, row, size, room, there)
    if row.stored == "float32" and there is None:
        # nano draws as it is stored, so that it draws what plain diffusers draws with it
        by_hand["dtype"] = by_hand["stored"] = "float32" if spec.dtype == "auto" else spec.dtype
    return estimate.choose_generation(
        row.name,
        size,
        side,
        row.text_length,
        room,
        references=registry.looks_at(row, spec.asked()),
        loras=loras,
        resident=there is not None,
        **by_hand,
    )


def resident(spec: TrainSpec | GenerateSpec, room: Room | None = None) -> Choice:
    """How a base is kept that stays in memory, to train and to draw with: so that its usual
    training fits, or else its usual picture."""
    row, size, room = _found(spec, room, None)
    by_hand = _by_hand(spec, row, size, room, None)
    if room.device is None:
        by_hand.setdefault("encoders", "stay")
    if not row.trains:
        return estimate.choose_generation(
            row.name, size, row.native_side, row.text_length, room, resident=True, **by_hand
        ).choice
    usual = job(registry.resolve(TrainSpec(class_name="man", base=spec.base), 1), resident=True)
    choice = estimate.choose(row.name, size, usual, room, **by_hand).choice
    return replace(choice, checkpointed=0)  # each training has its own


def two_networks(row: Base) -> str | None:
    """What stays in memory and what is swapped of a base that is trained on other weights than it
    draws with."""
    if not row.pair:
        return None
    network = 2 * registry.description_of(row).shape(row.source).transformer / 1e9
    return (
        f"{row.name} is trained on {row.train_source} and draws with {row.source}. One of the two "
        f"networks is in memory at a time: a service reads the other's {network:.1f} GB when its "
        "work changes between training and drawing, while text encoders and autoencoder stay. "
        "Samples of a training are drawn with what is trained."
    )


def _by_hand(
    spec: TrainSpec | GenerateSpec, row: Base, size: Shape, room: Room, there: Choice | None
) -> dict[str, Any]:
    """The fields of Choice that are not free: what the spec says, what the base is, what is in
    memory already."""
    said: dict[str, Any] = {
        "dtype": spec.dtype,
        "quantisation": spec.quantisation,
        "encoders": spec.encoders,
        "offloaded": "auto" if spec.offload_blocks is None else spec.offload_blocks,
    }
    said = {field: value for field, value in said.items() if value != "auto"}
    if room.device is None and ("offloaded" in said or said.get("encoders") == "cpu"):
        raise InputError(
            "There is no GPU here, so everything is in main memory: leave --offload-blocks "
            "and --encoders cpu out."
        )
    blocks = len(size.blocks)
    if (spec.offload_blocks or 0) > blocks:
        raise InputError(
            f"{row.name} has {blocks} blocks, so {spec.offload_blocks} of them cannot wait in main "
            f"memory: give --offload-blocks at most {blocks}."
        )
    if there is not None:
        for field, value in said.items():
            if value != getattr(there, field):
                raise InputError(
                    f"{row.name} is in memory with {field} {getattr(there, field)}, not "
                    f"{value}: load it anew, or leave that setting out."
                )
        return {field: getattr(there, field) for field in SETTLED}
    said["stored"] = row.stored
    if row.stored == "float32":
        said.setdefault("quantisation", "none")  # so small that nothing is gained
    return said


def _found(
    spec: TrainSpec | GenerateSpec, room: Room | None, there: Choice | None
) -> tuple[Base, Shape, Room]:
    """The base, its size, and the memory that is free or taken by the base itself."""
    row, room = registry.find(spec.base), room or hardware.room()
    folder = next((found for one in row.sets if (found := hub.local(one))), None)
    size = registry.description_of(row).shape(row.source if folder is None else str(folder))
    return row, size, room if there is None else estimate.with_base(room, size, there)
