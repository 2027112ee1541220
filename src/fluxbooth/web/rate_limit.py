"""The pace at which an account may ask. In this process's memory: there is one, and a restart
begins anew."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

SAVED = 10  # seconds' worth of requests that may come at once


class RateLimiter:
    """So many requests a second for each account, or for each kind of request of one.

    Safe to share between threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.lock = clock, threading.Lock()
        self.full: dict[Hashable, float] = {}  # when one will have all saved up again

    def wait(self, who: Hashable, per_second: float) -> float:
        """Seconds that one with so many requests a second (0: any number) must wait; 0 if this
        one may come, and is counted."""
        if not per_second:
            return 0.0
        each, most = 1 / per_second, max(SAVED, 1 / per_second)
        with self.lock:
            present = self.clock()
            full = max(self.full.get(who, present), present) + each
            if full - present > most:
                return full - present - most
            self.full[who] = full
            return 0.0
