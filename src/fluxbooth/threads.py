"""The processor's cores, shared with other programs.

OpenMP's threads wait for one another at the end of each operation, and GNU's, which torch brings,
spin meanwhile. On free cores nothing is faster; beside a busy process one of them has no core for
milliseconds, again and again, and the others burn theirs. So torch gets as many threads as cores
are free, looked at ten times a second (`free_cores`). How many they are changes no bit of what is
learnt; of encoded photos it changes the last bits, so a small base encodes with one (`one_thread`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple, Self

SAID = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
LOOK = 0.1  # seconds between two looks; the system counts in hundredths
STALE = 30.0  # what began so long ago says little of now
ENOUGH = 0.7  # of a core: where others leave so much of it, a thread of ours has a use for it


class Times(NamedTuple):
    """Seconds of the clock, of our cores idle (all together), of this process computing."""

    clock: float
    idle: float
    ours: float

    @classmethod
    def now(cls) -> Self:
        import psutil

        cores = psutil.cpu_times(percpu=True)
        idle = sum(
            cores[core].idle + getattr(cores[core], "iowait", 0.0)
            for core in our_cores()
            if core < len(cores)
        )
        return cls(time.monotonic(), idle, time.process_time())


def our_cores() -> set[int]:
    return os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))


def threads_for(before: Times, now: Times, most: int) -> int:
    """How many of `most` threads have a core that others leave free, as of the time between."""
    cores, seconds = len(our_cores()), now.clock - before.clock
    others = cores - (now.idle - before.idle + now.ours - before.ours) / seconds
    return max(1, min(most, int(cores - others + 1 - ENOUGH)))


class _State:
    """What the last look saw, in this process: torch's threads are one number for all of it."""

    seen: Times | None = None
    threads = 1  # that it came to
    most: int | None = None  # inside `free_cores`, if nobody has said how many


@contextlib.contextmanager
def free_cores() -> Iterator[None]:
    """Inside, torch computes on the cores that other programs leave free, as of the last `look`.

    Whoever has said how many threads, by variable or `torch.set_num_threads`, is obeyed.
    """
    import torch

    most = torch.get_num_threads()
    if _State.most or not _nobody_said(most):
        yield
        return
    _State.most = most
    torch.set_num_threads(_State.threads)
    look()
    try:
        yield
    finally:
        _State.most = None
        torch.set_num_threads(most)


def look() -> None:
    """Between steps: looks again when it is time, inside `free_cores`; elsewhere nothing."""
    import torch

    now, seen = time.monotonic(), _State.seen
    if _State.most is None or (seen and now - seen.clock < LOOK):
        return
    times = Times.now()
    lately = seen and now - seen.clock < STALE
    _State.threads = threads_for(seen, times, _State.most) if seen and lately else 1
    _State.seen = times
    torch.set_num_threads(_State.threads)


def same_bits(small: bool) -> contextlib.AbstractContextManager[None]:
    """While photos are encoded: the last bits of convolutions depend on the number of threads, and
    so would the weights of a small base. A large one would take too long on one."""
    return one_thread() if small else contextlib.nullcontext()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, torch computes on one core, unless somebody has said on how many."""
    import torch

    before = torch.get_num_threads()
    if not _nobody_said(before):
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _nobody_said(threads: int) -> bool:
    """Whether torch has the number of threads that it takes by itself: one for each core, or for
    each that is not another's second thread."""
    import psutil

    return not any(name in os.environ for name in SAID) and threads in {
        len(our_cores()),
        psutil.cpu_count(logical=False),
    }
