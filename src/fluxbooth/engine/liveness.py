"""Beats by which one process knows that another still runs. One that is stopped (SIGSTOP, a
debugger) does not end, so whoever waits for its end never notices. So each tells every second, from
a thread of its own, that it is there, and the other counts for how long it has not.

A long computation is no silence, for it lets that thread run. Only time that the listener itself
lived through counts: where all are stopped together and go on together, nobody has been silent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

EVERY = 1.0  # seconds between two words, and between two looks
LATE_AFTER = 15.0  # of a process that has spoken: worth a word, though it may yet go on
# of a process that has spoken; far more than a machine that works at its limit takes to let it
SILENT_AFTER = 60.0
STARTS_WITHIN = 300.0  # of one that has not: what it imports is read from the disk first


def tell(word: Callable[[], object]) -> None:
    """Says the word every second, until nobody hears it any more or the process ends."""

    def repeat() -> None:
        try:
            while True:
                word()
                time.sleep(EVERY)
        except OSError:
            return

    threading.Thread(target=repeat, daemon=True).start()


class Silence:
    """For how long a process has said nothing.

    `heard` may be called by any thread, `look` by one, about every second.
    """

    def __init__(self) -> None:
        self.spoke, self.seconds = False, 0.0
        self._looked = time.monotonic()

    @property
    def is_late(self) -> bool:
        return self.spoke and self.seconds > LATE_AFTER

    def heard(self) -> None:
        self.spoke, self.seconds = True, 0.0

    def look(self, *, expected: bool = True) -> bool:
        """Whether it has been silent for too long; not while nothing is expected of it. Time in
        which nobody looked is not counted."""
        now = time.monotonic()
        self.seconds = self.seconds + min(now - self._looked, 2 * EVERY) if expected else 0.0
        self._looked = now
        return self.seconds > (SILENT_AFTER if self.spoke else STARTS_WITHIN)
