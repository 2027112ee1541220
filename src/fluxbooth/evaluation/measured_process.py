"""A command of ours in a process of its own: what it told and when, and the most memory it held."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from fluxbooth.errors import FluxboothError
from fluxbooth.events import JsonEvent, Report
from fluxbooth.types import Json

LOOK_EVERY = 0.05  # seconds between two looks at the GPU


class StoppedError(FluxboothError):
    """The command ended badly. `kind` says how without the message, which may hold paths."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class Measured:
    result: Json = field(default_factory=dict)  # its JSON object; empty if it was killed
    # seconds since its start, what it told
    events: list[tuple[float, JsonEvent]] = field(default_factory=list)
    # bytes: of the GPU, context included, as others see it; without one, resident
    memory: float = 0.0
    on_gpu: bool = False


def measured(
    arguments: Sequence[str],
    report: Report,
    environment: Mapping[str, str] | None = None,
    kill_at: Callable[[JsonEvent], bool] | None = None,
) -> Measured:
    """Runs `fluxbooth ARGUMENTS`, passes its events on, and kills it without warning at the first
    event that `kill_at` chooses.

    Raises StoppedError if it fails, or ends before it is killed.
    """
    done, began = Measured(), time.monotonic()
    command = [sys.executable, "-m", "fluxbooth", *arguments, "--json", "--progress", "json"]
    with tempfile.TemporaryFile("w+") as errors, _GpuWatch() as watch:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            killed = _follow(process, done, began, report, kill_at)
        finally:
            # not `process.kill`, which reaps a process that has ended, and loses what it held
            os.kill(process.pid, signal.SIGKILL)
            status, resident = _reap(process)
        errors.seek(0)
        said = errors.read().strip().splitlines()
    if killed:
        return done
    if status != 0 or kill_at is not None:
        raise stopped(arguments[0], status, done.result.get("error") or (said[-1] if said else ""))
    done.on_gpu, done.memory = watch.there, watch.most if watch.there else resident
    return done


def _follow(
    process: subprocess.Popen[str],
    done: Measured,
    began: float,
    report: Report,
    kill_at: Callable[[JsonEvent], bool] | None,
) -> bool:
    """Reads until the end of its output; whether it was killed on the way."""
    assert process.stdout
    for line in process.stdout:
        if not line.startswith("{"):  # a library's own words
            continue
        row = json.loads(line)
        if "event" not in row:
            done.result = row
            continue
        done.events.append((time.monotonic() - began, row))
        report(row)
        if kill_at is not None and kill_at(row):
            os.kill(process.pid, signal.SIGKILL)
            return True
    return False


def _reap(process: subprocess.Popen[str]) -> tuple[int, float]:
    """Exit status and largest resident bytes.

    The standard library waits for a process without asking for the latter.
    """
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stdout
    process.stdout.close()
    return process.returncode, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def stopped(command: str, status: int, said: str) -> StoppedError:
    """What to raise for a command's exit code and the last line that it said."""
    name = said.partition(":")[0].rpartition(".")[2]  # of a Python exception
    kind = name if name.endswith("Error") and name.isidentifier() else f"exit code {status}"
    return StoppedError(
        f"fluxbooth {command} ended with exit code {status}: {said or 'it said nothing'}", kind
    )


class _GpuWatch:
    """The most that was taken of the first GPU while it was entered, above what was taken
    before: what `nvidia-smi` would show."""

    def __init__(self) -> None:
        import torch

        self.there = torch.cuda.is_available()
        self.most = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        if self.there:
            self._before = self._taken()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self.there:
            self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(LOOK_EVERY):
            self.most = max(self.most, self._taken() - self._before)

    @staticmethod
    def _taken() -> float:
        import torch

        free, total = torch.cuda.mem_get_info()
        return total - free
