"""A base's row or weights, ready for use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from fluxbooth.errors import InputError

if TYPE_CHECKING:
    from fluxbooth.memory.estimate import Choice
    from fluxbooth.models.family import Family, Parts
from fluxbooth.models.base import Base
from fluxbooth.models.registry import find, find_to_train


def here(name: str, *, training: bool = False) -> Base:
    """The row of a base whose weights, to draw or to train with, are on this machine: its source is
    their folder or file, its revision their commit.

    Raises InputError if there is no such base, it cannot be trained, or its weights are not here.
    """
    named = find_to_train(name) if training else find(name)
    row = named.to_train if training else named
    from fluxbooth.models import hub

    found = hub.local(row)
    if found is None:
        which = f"that {row.name} is trained on" if training and named.pair else f"of {row.name}"
        raise InputError(
            f"The weights {which} are not on this machine: run `fluxbooth models pull "
            f"{row.name}`, or give --base the path of a diffusers folder."
        )
    return replace(
        row,
        source=str(found),
        train_source=str(found),
        revision=hub.commit_of(row, found),
        train_revision=None,
    )


def load(
    name: str,
    *,
    training: bool = False,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    choice: Choice | None = None,
    parts: Parts | None = None,
) -> Family:
    """The weights in memory. `dtype` is that of the computation.

    `choice` says how they are kept (`planner.py` makes one); without it nothing is given up. With
    encoders that do not stay, the network comes only with `load_network`. Of `parts`, what is left
    of a family that has gone, those are taken over whose files are the same.

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
    return family.load(row, training=training, choice=choice, parts=parts)
