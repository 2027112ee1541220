"""The numbers of a run for TensorBoard or Weights & Biases, where their package is installed."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from fluxbooth.checkpoint import RunFolder
from fluxbooth.errors import InputError
from fluxbooth.specs import TrainSpec


class Tracker(Protocol):
    def add(self, event: dict[str, Any]) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder))

    def add(self, event: dict[str, Any]) -> None:
        for name, value in numbers_of(event).items():
            self._writer.add_scalar(name, value, event["step"])

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    def __init__(self, spec: TrainSpec, folder: Path) -> None:
        import wandb

        self._run = wandb.init(project="fluxbooth", dir=str(folder), config=spec.model_dump(mode="json"))

    def add(self, event: dict[str, Any]) -> None:
        self._run.log(numbers_of(event), step=event["step"])

    def close(self) -> None:
        self._run.finish()


def numbers_of(event: dict[str, Any]) -> dict[str, float]:
    """The curves in an event."""
    return {k: float(v) for k, v in event.items() if isinstance(v, numbers.Real) and k not in ("step", "steps", "seconds_left")}


@contextlib.contextmanager
def open_trackers(spec: TrainSpec, folder: RunFolder, main: bool) -> Iterator[list[Tracker]]:
    """The trackers that the spec names, in the process that logs. Raises InputError, naming the package, for one that is not installed."""
    trackers: list[Tracker] = []
    try:
        for name in spec.trackers if main else ():
            trackers.append(TensorBoard(folder.path / "tensorboard") if name == "tensorboard" else WeightsAndBiases(spec, folder.path))
    except ImportError as error:
        raise InputError(f"Logging to {name} needs its package: pip install {name}.") from error
    try:
        yield trackers
    finally:
        for tracker in trackers:
            tracker.close()
