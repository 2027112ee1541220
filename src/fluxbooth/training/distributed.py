"""Data parallel: processes that train one LoRA together, started by `accelerate launch` or
`torchrun`.

Each has a device and the whole base. The batch of a step is split over them and their gradients are
averaged, so that after every step all have the LoRA that one process with the whole batch would
have. The main process writes; the others only compute.
"""

from __future__ import annotations

import atexit
import functools
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from fluxbooth.specs import ResolvedTrainSpec


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a training, seen from one of them; by default it is alone."""

    rank: int = 0
    size: int = 1
    # a process group on the CPU, so that asking each other does not wait for a GPU
    control: Any = None

    @property
    def main(self) -> bool:
        return self.rank == 0

    def whole(self, spec: ResolvedTrainSpec) -> ResolvedTrainSpec:
        """The resolved spec of one device to that of all: its batch is the batch of a step."""
        return spec.model_copy(update={"batch_size": spec.batch_size * self.size})

    def part(self, batch: int) -> slice:
        """Which rows of a batch are this process's; they must come out even."""
        each, rest = divmod(batch, self.size)
        assert rest == 0
        return slice(self.rank * each, (self.rank + 1) * each)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Makes each tensor the mean of its like in all processes."""
        if self.size > 1:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            distributed.all_reduce(flat)
            parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
            torch._foreach_copy_(
                list(tensors),
                [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)],
            )

    def any(self, flag: bool) -> bool:
        """Whether one of the processes says so; all must ask."""
        if self.size == 1:
            return flag
        told = torch.tensor(int(flag))
        distributed.all_reduce(told, distributed.ReduceOp.MAX, group=self.control)
        return bool(told)

    def on_main(self, work: Callable[[], object]) -> None:
        """Once all have come here, the main process does the work and the others wait.

        Where it fails, they end too, and quietly.
        """
        self.any(False)
        failed = True
        try:
            if self.main:
                work()
            failed = False
        finally:
            if self.any(failed) and not self.main:
                sys.exit(1)


@functools.cache
def join() -> ProcessGroup:
    """The process group that the launcher's variables tell of; the device of this process becomes
    the current one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ProcessGroup()
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())
    atexit.register(distributed.destroy_process_group)
    return ProcessGroup(
        state.process_index, state.num_processes, distributed.new_group(backend="gloo")
    )
