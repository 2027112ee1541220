"""The end of a process: with the one that started it, for nobody else would ever free the device or
the lock; and on a signal, after the step under way."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator

PARENT = "FLUXBOOTH_PARENT"  # environment variable: who starts us
SET_PARENT_DEATH_SIGNAL = 1  # of prctl(2)


def environment() -> dict[str, str]:
    """The environment to start such a process with."""
    return {**os.environ, PARENT: str(os.getpid())}


# the signal that nothing can catch; on Windows any signal ends a process so
KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


def die_with_parent(number: signal.Signals) -> None:
    """Asks the kernel for `number` when the parent ends; on other systems the end of a pipe has
    to do. Exits if it ended already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, number)
    if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):
        sys.exit(0)


@contextlib.contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets, so that the step under way ends and a checkpoint is
    written."""
    stop = threading.Event()
    # signals belong to the main thread
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {
        name: signal.signal(name, lambda *_: stop.set()) for name in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
