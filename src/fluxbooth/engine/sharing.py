"""How a training and the pictures that are drawn beside it share a device.

A training stands aside between two steps, and the pictures that wait are drawn then. Over time it
keeps `TRAINING` of the device while pictures wait; only the first `AT_ONCE` seconds of them, earned
again by training, are drawn as soon as they come.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TRAINING, AT_ONCE = 0.5, 30.0


class Waits(Exception):
    """A picture cannot be drawn beside the training under way; the message says why."""


class Share:
    """Which of the two has its turn. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.since, self.left = clock, clock(), AT_ONCE

    @property
    def is_pictures(self) -> bool:
        """Whether a picture may be drawn now."""
        return self.left > 0

    def trained(self) -> None:
        """The time since the last word went to the training."""
        self.left = min(AT_ONCE, self.left + self._passed() * (1 - TRAINING) / TRAINING)

    def drew(self) -> None:
        """The time since the last word went to a picture."""
        self.left -= self._passed()

    def _passed(self) -> float:
        before, self.since = self.since, self.clock()
        return self.since - before
