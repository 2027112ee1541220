"""Locks that end with the process that holds them, however it ends."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path
from typing import IO


def held(path: Path, within: float) -> IO[str] | None:
    """The file, made if it is not there, locked until it is closed or this process ends; None if
    another has it for all of so many seconds. Whoever holds it must not remove it, for the next
    would lock a file of the same name and both would hold one.
    """
    file = path.open("a")
    until = time.monotonic() + within
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > until:
                file.close()
                return None
            time.sleep(0.1)
