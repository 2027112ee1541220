"""The processor's cores, shared with other programs.

OpenMP's threads wait for one another at the end of each operation, and GNU's, which torch brings,
spin for some ten milliseconds before they sleep. Beside a busy process one of them has no core for
that long, again and again, and the others burn theirs: `wait_asleep`. And where operations are as
short as nano's, a second thread gains nothing that waking it does not take: `one_thread`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

WAIT = "OMP_WAIT_POLICY"
WAITING = (WAIT, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def wait_asleep() -> None:
    """Before torch is loaded, which reads it once; for this process and those it starts.
    Whoever has said how to wait is obeyed."""
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ[WAIT] = "passive"


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes on one core.

    Whoever has said how many, by variable or `torch.set_num_threads`, is obeyed.
    """
    import torch

    before = torch.get_num_threads()
    if any(name in os.environ for name in THREADS) or before not in _defaults():
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _defaults() -> set[int | None]:
    """How many threads torch has if nobody said: one for each core, or for each that is not
    another's second thread."""
    import psutil

    ours = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    return {ours, psutil.cpu_count(logical=False)}
