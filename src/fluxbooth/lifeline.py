"""A process that must not outlive the one that started it: nobody else would ever free the device, or the lock."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "FLUXBOOTH_PARENT"  # environment variable: who starts us
SET_PARENT_DEATH_SIGNAL = 1  # of prctl(2)


def environment() -> dict[str, str]:
    """The environment to start such a process with."""
    return {**os.environ, PARENT: str(os.getpid())}


def die_with_parent(number: signal.Signals) -> None:
    """Asks the kernel for `number` when the parent ends; on other systems the end of a pipe has to do. Exits if it ended already."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, number)
    if os.environ.get(PARENT, str(os.getppid())) != str(os.getppid()):
        sys.exit(0)
