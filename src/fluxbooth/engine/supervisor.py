"""The server's side of its engine: a process of its own (`worker.py`), started anew when it
dies, and killed when it falls silent."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import time
from typing import Literal

from fluxbooth import log, process_lifetime
from fluxbooth.engine import liveness
from fluxbooth.service.overview import engine_runs
from fluxbooth.service.settings import Settings

REFUSED = 2  # the exit code of an engine for which starting again would not help
STARTED = 5.0  # seconds after which an engine counts as one that works
STOPS_WITHIN = 30.0

State = Literal["runs", "silent", "stopped"]


class Supervisor:
    """Keeps one engine process alive."""

    def __init__(self, settings: Settings) -> None:
        self.data = settings.data
        self.environment = {**process_lifetime.environment(), **environment(settings)}
        self.stopping = threading.Event()
        self.process: subprocess.Popen[bytes] | None = None
        self.silence = liveness.Silence()

    def state(self) -> State:
        """Of the engine: whether it does its work, or can."""
        if self.process is not None and self.process.returncode is not None:
            # another server's may be why ours is not needed
            return "runs" if engine_runs(self.data) else "stopped"
        return "silent" if self.silence.is_late else "runs"

    def start(self) -> None:
        # the kernel counts the end of the starting thread as the parent's: this thread lives as
        # long as the engine does
        self.thread = threading.Thread(target=self._keep, daemon=True)
        self.thread.start()

    def _keep(self) -> None:
        while not self.stopping.is_set():
            self.silence = liveness.Silence()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "fluxbooth.engine.worker"],
                env=self.environment,
                start_new_session=True,
                stdout=subprocess.PIPE,
            )
            if self.stopping.is_set():  # `stop` may have come too early to see the process
                self.process.terminate()
            began = time.monotonic()
            code = self._end_of(self.process)
            # one that had worked is replaced at once; one that cannot even start is not tried in a
            # tight loop
            if code == REFUSED or self.stopping.wait(
                0.0 if time.monotonic() - began > STARTED else STARTED
            ):
                return

    def _end_of(self, process: subprocess.Popen[bytes]) -> int:
        """Hears the process until it ends; its exit code."""
        assert process.stdout is not None
        told = False
        with process.stdout as pipe:
            while True:
                if select.select([pipe], [], [], liveness.EVERY)[0]:
                    if not os.read(pipe.fileno(), 4096):
                        return process.wait()
                    self.silence.heard()
                if self.silence.look():
                    log.write("engine silent", seconds=round(self.silence.seconds), then="killed")
                    process.kill()
                elif self.silence.is_late and not told:
                    log.write("engine silent", seconds=round(self.silence.seconds))
                told = self.silence.is_late

    def stop(self) -> None:
        """SIGTERM: a training writes a checkpoint first."""
        self.stopping.set()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
        self.thread.join(timeout=STOPS_WITHIN)
        # it is stopped, or hangs; left behind it would keep the next one out
        if self.thread.is_alive() and self.process is not None:
            self.process.kill()


def environment(settings: Settings) -> dict[str, str]:
    """The settings as the variables that the engine process reads."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return {
        f"FLUXBOOTH_{name.upper()}": value if isinstance(value, str) else _json(value)
        for name, value in values.items()
    }


def _json(value: object) -> str:
    import json

    return json.dumps(value)
