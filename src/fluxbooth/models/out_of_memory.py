"""When a card's memory runs out in spite of the plan: the work is done again with more given up.

An estimate can be wrong, and other programs can take memory after it was made. What ran out is
then done once more, from where it began: first without text encoders on the card, then with more
blocks recomputed, then with more of them waiting in main memory, an eighth at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import torch

from fluxbooth import hardware
from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.memory.estimate import Choice
from fluxbooth.models.family import Family

T = TypeVar("T")
PARTS = 8  # of the blocks, that are given up one after the other


@contextlib.contextmanager
def loading(name: str) -> Iterator[None]:
    """Around the arrival of a base's weights. Raises FluxboothError when a card has no more room:
    its plan was made for what was free then."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise FluxboothError(
            f"GPU memory ran out while {name} came into it: close other programs on the card, or "
            "use one with more memory."
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Of a card: main memory ends otherwise."""
    return isinstance(error, torch.OutOfMemoryError)


def retried(
    family: Family, work: Callable[[], T], say: Callable[[str], None], *, training: bool
) -> T:
    """What `work` returns; each time the card's memory runs out it is done again, with more given
    up, which `say` is told in a sentence. It must leave nothing behind that is half done.

    Raises InputError once there is nothing left to give up.
    """
    while True:
        try:
            return work()
        except torch.OutOfMemoryError:
            pass  # what the work's frames still held is free only after this
        hardware.release_memory()
        say(give_up_more(family, training=training))


def give_up_more(family: Family, *, training: bool) -> str:
    """Changes how the family is kept, and says what was done."""
    found = next_choice(family.choice, family.blocks, training=training)
    if found is None:
        size = "--resolution" if training else "--width and --height"
        raise InputError(
            f"GPU memory ran out with everything given up for {family.row.name}: use smaller "
            f"pictures ({size}), close other programs on the card, or use one with more memory."
        )
    before = family.choice
    if found.encoders != before.encoders:
        family.choice = found
        family.park_encoders()
        done = "the text encoders left the card"
    elif found.checkpointed != before.checkpointed:
        family.checkpoint_gradients(found.checkpointed)
        done = f"{found.checkpointed} of {family.blocks} blocks are recomputed now"
    else:
        family.offload_blocks(found.offloaded)
        done = f"{found.offloaded} of {family.blocks} blocks wait in main memory now"
    return f"GPU memory ran out, so {done}, and it goes on where it was."


def next_choice(choice: Choice, blocks: int, *, training: bool) -> Choice | None:
    """With the least more given up that helps; None if all is. Quality is not given up on the way:
    a training would change what it learns on."""
    more = -(-blocks // PARTS)
    if choice.encoders == "stay":
        return replace(choice, encoders="leave")
    if training and choice.checkpointed < blocks:
        return replace(choice, checkpointed=min(blocks, choice.checkpointed + more))
    if choice.offloaded < blocks:
        return replace(choice, offloaded=min(blocks, choice.offloaded + more))
    return None
