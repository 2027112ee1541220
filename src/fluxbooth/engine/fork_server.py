"""The fork server of a device: a process that has imported everything, which takes seconds, and
forks a device process, which takes none.

Stands between the engine and `device_process.py`, on the same two pipes, and adds two lines to what
the latter says: `{"started": PID}` and `{"died": EXIT}`. A device process is forked when there is
something for it to read. Linux only: elsewhere libraries do not bear a fork.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
from typing import TextIO

from fluxbooth.engine import device_process
from fluxbooth.models import registry
from fluxbooth.process_lifetime import PARENT, die_with_parent

NEEDED = (
    "fluxbooth.training.loop", "fluxbooth.generation.generate", "fluxbooth.lora.inference",
    "fluxbooth.evaluation.likeness", "fluxbooth.models.planner",
    *(name for family in registry.FAMILIES.values() for name in family.preload),
)  # fmt: skip


def main() -> None:
    die_with_parent(signal.SIGKILL)
    # libraries ask for a GPU while they are imported: torch then asks the driver's own library,
    # and starts nothing that would not bear a fork
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    replies = device_process.pipe()
    for name in NEEDED:
        importlib.import_module(name)
    # what lies here now is shared with every device process as long as nobody counts it again
    gc.freeze()
    os.environ[PARENT] = str(os.getpid())
    while True:
        select.select([sys.stdin], [], [])
        status = _life(replies)
        if status == 0:  # it has read the end of the pipe
            return
        # the device process may have died in the middle of a line
        replies.write("\n" + json.dumps({"died": status}) + "\n")
        replies.flush()


def _life(replies: TextIO) -> int:
    """Forks a device process and returns its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        _begin(replies)
    replies.write(json.dumps({"started": pid}) + "\n")
    replies.flush()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _begin(replies: TextIO) -> None:
    import torch

    # a library that looked for a GPU while it was imported has spoilt it for forks: begin anew, at
    # the cost of the seconds
    # (torch has no public name for that)
    if torch.cuda._is_in_bad_fork():  # pyright: ignore[reportPrivateUsage]
        os.dup2(replies.fileno(), sys.stdout.fileno())
        os.execv(sys.executable, [sys.executable, "-m", "fluxbooth.engine.device_process"])
    device_process.work(replies)


if __name__ == "__main__":
    main()
