"""How far a long step is: tiles that are enlarged, windows that are drawn anew."""

from __future__ import annotations

import time
from collections.abc import Callable

from fluxbooth.events import Enhancing

Tell = Callable[[int, int], None]  # parts that are done, and of how many
EVERY = 1.0  # seconds: a step that takes less says nothing


class Progress:
    """Told of each part of a step, it reports now and then how many are done, and how long the
    others will take if they take as long."""

    def __init__(self, step: str, report: Callable[[Enhancing], None]) -> None:
        self._step, self._report = step, report
        self._began = self._said = self._seen = time.monotonic()
        self._done = 0

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if done <= self._done:  # the step goes over the picture once more
            self._began = self._seen
        self._done, self._seen = done, now
        if now - self._said < EVERY:
            return
        self._said = now
        left = (now - self._began) / done * (of - done)
        self._report(
            {
                "event": "enhancing",
                "step": self._step,
                "done": done,
                "of": of,
                "seconds_left": left,
            }
        )


def silent(done: int, of: int) -> None:
    """Nobody looks on."""
