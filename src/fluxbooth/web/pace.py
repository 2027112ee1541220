"""How fast an account may ask. In this process's memory: there is one, and a restart forgives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SAVED = 10  # seconds' worth of requests that may come at once


class Pace:
    """So many requests a second for each account; 0 is no limit. Safe to share between threads."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second, self.clock, self.lock = per_second, clock, threading.Lock()
        self.full: dict[int, float] = {}  # when an account will have all saved up again

    def wait(self, account_id: int) -> float:
        """Seconds that the account must wait; 0 if the request may come, which is counted then."""
        if not self.per_second:
            return 0.0
        each, most = 1 / self.per_second, max(SAVED, 1 / self.per_second)
        with self.lock:
            present = self.clock()
            full = max(self.full.get(account_id, present), present) + each
            if full - present > most:
                return full - present - most
            self.full[account_id] = full
            return 0.0
