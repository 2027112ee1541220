"""A run in TensorBoard or Weights & Biases, where their package is installed: its spec, its curves,
its samples.

Both go on where a run goes on that was interrupted: steps that are done again replace those that
were told of them, and the run keeps its name, which is that of its folder.
"""

from __future__ import annotations

import contextlib
import numbers
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from fluxbooth.errors import InputError
from fluxbooth.events import LoggedEvent, SampleDrawn
from fluxbooth.library_logging import needing
from fluxbooth.specs import TrainSpec

WANDB_RUN = "wandb-run"  # file of the run's folder with its id there


NO_CURVES = ("step", "steps", "seconds_left", "seconds", "pictures", "best")


class Tracker(Protocol):
    def add(self, event: LoggedEvent) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    def __init__(self, spec: TrainSpec, folder: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # what an interrupted process wrote of later steps is left out of the curves
        self._writer = SummaryWriter(
            str(folder / "tensorboard" / folder.resolve().name),
            purge_step=done + 1 if done else None,
        )
        if not done:
            told = spec.model_dump(mode="json", exclude_none=True)
            self._writer.add_text(
                "spec", "\n".join(f"    {name} = {value}" for name, value in told.items())
            )

    def add(self, event: LoggedEvent) -> None:
        if event["event"] == "sample":
            self._writer.add_image(
                _title(event), _pixels(event["path"]), event["step"], dataformats="HWC"
            )
        for name, value in numbers_of(event).items():
            self._writer.add_scalar(name, value, event["step"])

    def close(self) -> None:
        self._writer.close()


class WeightsAndBiases:
    def __init__(self, spec: TrainSpec, folder: Path, done: int) -> None:
        import wandb

        self._image, known = wandb.Image, folder / WANDB_RUN
        if not done or not known.exists():
            known.write_text(secrets.token_hex(8))
        try:
            self._run = wandb.init(
                project="fluxbooth",
                dir=str(folder),
                name=folder.resolve().name,
                id=known.read_text(),
                resume="allow",
                config=spec.model_dump(mode="json"),
            )
        except wandb.Error as error:
            raise InputError(
                f"Weights & Biases cannot be opened ({error}): run `wandb login`, or set "
                "WANDB_MODE=offline."
            ) from error

    def add(self, event: LoggedEvent) -> None:
        if event["event"] == "sample":
            self._run.log(
                {_title(event): self._image(event["path"], caption=event["text"])},
                step=event["step"],
            )
        elif values := numbers_of(event):
            self._run.log(values, step=event["step"])

    def close(self) -> None:
        self._run.finish()


KINDS: dict[str, type[TensorBoard] | type[WeightsAndBiases]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
}


def numbers_of(event: LoggedEvent) -> dict[str, float]:
    """The curves in an event."""
    return {
        k: float(v) for k, v in event.items() if isinstance(v, numbers.Real) and k not in NO_CURVES
    }


def check(spec: TrainSpec) -> None:
    """Raises InputError, naming what to install, for a tracker whose package is not here."""
    for name in spec.trackers:
        with needing(name):
            __import__(name)


@contextlib.contextmanager
def opened(spec: TrainSpec, folder: Path, done: int, main: bool) -> Iterator[list[Tracker]]:
    """The trackers that the spec names, in the process that logs, of a run in `folder` of which
    `done` steps are done."""
    with contextlib.ExitStack() as stack:
        trackers: list[Tracker] = []
        for name in spec.trackers if main else ():
            trackers.append(KINDS[name](spec, folder, done))
            stack.callback(trackers[-1].close)
        yield trackers


def _title(event: SampleDrawn) -> str:
    return f"sample/{event['text']}"


def _pixels(path: str) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
