"""A base's row or weights, ready for use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from fluxbooth.errors import InputError

if TYPE_CHECKING:
    from fluxbooth.memory.estimate import Choice
    from fluxbooth.models.family import Family
from fluxbooth.models.base import Base
from fluxbooth.models.registry import find, find_to_train


def here(name: str, *, training: bool = False) -> Base:
    """The row of a base whose weights are on this machine: its source is their folder or file, its
    revision their commit.

    Raises InputError if there is no such base, it cannot be trained, or its weights are not here.
    """
    row = find_to_train(name) if training else find(name)
    from fluxbooth.models import hub

    found = hub.local(row)
    if found is None:
        raise InputError(
            f"The weights of {row.name} are not on this machine: run `fluxbooth models pull "
            f"{row.name}`, or give --base the path of a diffusers folder."
        )
    return replace(
        row, source=str(found), train_source=str(found), revision=hub.commit_of(row, found)
    )


def load(
    name: str,
    *,
    training: bool = False,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    choice: Choice | None = None,
) -> Family:
    """The weights in memory. `dtype` is that of the computation.

    `choice` says how they are kept (`planner.py` makes one); without it nothing is given up. With
    encoders that do not stay, the network comes only with `load_network`.

    Raises InputError if there is no such base, it cannot be trained, or its weights are not on this
    machine.
    """
    import importlib

    row = here(name, training=training)
    if choice is None:
        from fluxbooth import hardware
        from fluxbooth.memory.estimate import Choice

        fast = hardware.fast_dtype(hardware.gpu())[0]
        choice = Choice(fast if dtype == "auto" else dtype, encoders="stay", stored=row.stored)
    family = importlib.import_module(f"fluxbooth.models.{row.family}.family")
    return family.load(row, training=training, choice=choice)
