"""Locks that end with the process that holds them, however it ends."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# a byte that no such file has: on Windows nobody else may read or write what is locked
BEYOND = 2**30


def held(path: Path, within: float) -> IO[str] | None:
    """The file, made if it is not there, locked until it is closed or this process ends; None if
    another has it for all of so many seconds. Whoever holds it must not remove it, for the next
    would lock a file of the same name and both would hold one.
    """
    file = path.open("a")
    until = time.monotonic() + within
    while True:
        try:
            _lock(file)
            return file
        except (BlockingIOError, PermissionError):  # the latter on Windows
            if time.monotonic() > until:
                file.close()
                return None
            time.sleep(0.1)


def _lock(file: IO[str]) -> None:
    if sys.platform == "win32":
        file.seek(BEYOND)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
