"""The socket's side of the application: uvicorn, which answers that never end are told by when
they must."""

from __future__ import annotations

import threading
from types import FrameType

import uvicorn


class Listener(uvicorn.Server):
    """Stops once `stopping` is set, also if that was before it started; sets it when a signal
    asks it to stop."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self.stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stopping.set()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        return self.stopping.is_set() or await super().on_tick(counter)
