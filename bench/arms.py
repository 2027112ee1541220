"""Two trainings side by side: each in a process of its own, at work by turns, so that what else
the machine does falls on both."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Arm:
    name: str
    process: subprocess.Popen[str]
    log: Path
    seconds: list[float] = field(default_factory=list)  # a step, the median of each slice
    cpu: list[float] = field(default_factory=list)  # the same in seconds of processor time
    losses: list[float] = field(default_factory=list)  # of every step from the first
    peak_mb: float = 0  # over the counted slices
    loading_mb: float = 0  # until the end of the first step

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended early:\n{self.log.read_text()[-3000:]}")
        reply = json.loads(line)
        self.losses += reply["losses"]
        return reply

    def go(self, steps: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self.read()


@contextlib.contextmanager
def started(
    name: str,
    command: Sequence[str],
    log: Path,
    threads: int,
    environment: dict[str, str] | None = None,
) -> Iterator[Arm]:
    """An arm that has done its first step, which is not counted."""
    settings = {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **settings, **(environment or {})},
        ) as process,
    ):
        arm = Arm(name, process, log)
        try:
            arm.loading_mb = arm.read()["peak_mb"]
            yield arm
        finally:
            process.kill()


def compare(arms: Sequence[Arm], slices: int, steps: int) -> None:
    """One slice as a warm-up, then so many counted ones of so many steps, the arms by turns and
    each turn in the other order."""
    for arm in arms:
        arm.go(steps)
    for number in range(slices):
        for arm in arms if number % 2 == 0 else arms[::-1]:
            reply = arm.go(steps)
            arm.seconds.append(statistics.median(reply["seconds"]))
            arm.cpu.append(statistics.median(reply["cpu"]))
            arm.peak_mb = max(arm.peak_mb, reply["peak_mb"])


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}
