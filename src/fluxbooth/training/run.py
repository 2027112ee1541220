"""What a training carries from step to step, and what it writes: checkpoints, stages, samples, the
log, and at last the LoRA."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from PIL import Image

from fluxbooth import picture_files
from fluxbooth.evaluation import run_report
from fluxbooth.events import CheckpointSaved, LoggedEvent, TrainingReport
from fluxbooth.files import cannot_write
from fluxbooth.generation.sampling import draw
from fluxbooth.lora import training as lora_training
from fluxbooth.models import out_of_memory
from fluxbooth.models.family import Family, moved
from fluxbooth.photos.inspection import Photo
from fluxbooth.specs import ResolvedTrainSpec, stage_steps
from fluxbooth.training import flow, run_folder
from fluxbooth.training.dataset import Dataset
from fluxbooth.training.distributed import ProcessGroup
from fluxbooth.training.optimizers import learning_rate, make_optimizer
from fluxbooth.training.run_folder import RunFolder
from fluxbooth.training.trackers import Tracker

T = TypeVar("T")
VALIDATION_PHOTOS = 4  # five forward passes each, at every checkpoint


class Run:
    """What a run carries from step to step (the adapter, its optimiser, its moving average), and
    what it writes."""

    def __init__(
        self,
        spec: ResolvedTrainSpec,
        family: Family,
        dataset: Dataset,
        folder: RunFolder,
        report: TrainingReport,
        group: ProcessGroup,
        pictures: int,
        aside: Callable[[], None],
        shown: Sequence[Photo],
    ) -> None:
        self.spec = spec
        self.family = family
        self.dataset = dataset
        self.folder = folder
        self.report = report
        self.group = group
        self.aside, self.shown = aside, shown
        self.stages, self.pictures = stage_steps(spec), pictures
        self.parameters = lora_training.add(family, spec.rank, spec.seed)
        if spec.continue_from:
            lora_training.continue_from(family, spec.continue_from, spec.rank)
        self.average = [p.detach().clone() for p in self.parameters] if spec.ema else []
        self.optimizer = make_optimizer(spec, self.parameters)
        self.stop = threading.Event()  # set once somebody waits for the training to leave
        self.trackers: list[Tracker] = []
        self.validated: list[float] = []  # the validation loss at each checkpoint
        self.done = 0  # steps

    def prepared(self, done: int, pictures: int, captions: dict[str, str]) -> None:
        """Tells that steps begin after those that are done, and what the photos are said to show
        that came without words."""
        self.report(
            {
                "event": "prepared",
                "pictures": pictures,
                "steps": self.spec.steps,
                "resumed_at": done,
                "captions": captions,
                "spec": self.spec.model_dump(mode="json"),
            }
        )

    def fitting(self, step: int, work: Callable[[], T]) -> T:
        """Does it with as much given up as a card's memory asks for, and says so."""

        def say(text: str) -> None:
            self.tell({"event": "warning", "step": step, "text": text})

        return out_of_memory.retried(self.family, work, say, training=True)

    def end(self, write: Callable[[Path], None]) -> float:
        """Writes the report, and at last, with `write`, the LoRA; the validation loss of the last
        step."""
        with self.averaged():
            validated = self.validated and not self.average and self.done == self.spec.steps
            validation = (
                self.validated[-1] if validated else self.fitting(self.done, self.validation_loss)
            )
            self.group.on_main(lambda: run_report.write(self.folder.path, self.shown))
            self.group.on_main(lambda: write(self.folder.lora))
        self.group.on_main(self.folder.finish)
        return validation

    def resume(self) -> int:
        """Restores the last sound checkpoint; returns how many steps are done."""
        found = self.folder.latest()
        if found is None:
            return 0
        step, weights, state = found
        self.done = step
        lora_training.restore(self.family, weights)
        run_folder.restore_optimizer(self.optimizer, state)
        for i, value in enumerate(self.average):
            value.copy_(state[f"average.{i}"])
        return step

    def checkpoint(self, step: int, leaving: bool) -> None:
        """Saves everything first; who is asked to leave does no more than that."""
        began = time.monotonic()
        state = run_folder.optimizer_state(self.optimizer)
        state |= {f"average.{i}": value for i, value in enumerate(self.average)}
        path = self.folder.save(
            step, lora_training.tensors(self.family), state, self.spec.keep_checkpoints
        )
        seconds = round(time.monotonic() - began, 3)
        event: CheckpointSaved = {
            "event": "checkpoint",
            "step": step,
            "path": str(path),
            "seconds": seconds,
        }
        if leaving:
            self.tell(event)
            return
        try:
            self.validated.append(self.fitting(step, self.validation_loss))
        except KeyboardInterrupt:
            self.tell(event)
            raise
        self.tell({**event, "validation_loss": self.validated[-1]})
        if not self.stages:
            self.draw_samples(step)

    def keep_stage(self, step: int) -> None:
        """Writes the LoRA as it is now, when the samples are drawn by which it will be chosen
        or not."""
        path = self.folder.stage(step)
        with self.averaged():
            if step in self.stages:
                self.draw_samples(step)
            self.write(path, step)
        self.tell({"event": "stage", "step": step, "path": str(path)})

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean over a few training photos at fixed sigmas and each photo's own noise, so that
        it moves only as the weights do."""
        losses = []
        for batch in self.dataset.sample(
            VALIDATION_PHOTOS, self.spec.seed, self.spec.batch_size // self.group.size
        ):
            eps = torch.stack(
                [
                    torch.randn(batch.z.shape[1:], generator=flow.generator(self.spec.seed, 4, i))
                    for i in batch.indices
                ]
            )
            batch = batch.to(self.family.device)
            eps = eps.to(batch.z)
            for value in flow.VALIDATION_SIGMAS:
                self.aside()
                self.look()
                sigma = torch.full((len(batch.z),), value, device=batch.z.device)
                x = flow.interpolate(batch.z, eps, sigma)
                velocity = self.family.velocity(
                    x, sigma, batch.conditioning, self.spec.guidance, batch.size
                )
                loss = flow.velocity_loss(velocity, batch.z, eps, batch.weight)
                losses += [loss.item()] * len(batch.z)
        return sum(losses) / len(losses)

    def draw_samples(self, step: int) -> None:
        for number, text in enumerate(self.spec.sample_prompts):
            self.aside()
            image = self.fitting(step, functools.partial(self.sample, text))
            path = self.folder.sample(step, number)
            picture_files.save(image, path)
            self.tell({"event": "sample", "step": step, "path": str(path), "text": text})

    def sample(self, text: str) -> Image.Image:
        row, side = self.family.row, self.family.row.native_side
        told = moved(self.dataset.conditioning(text), self.family.device)
        (image,) = draw(
            self.family,
            told,
            [self.spec.seed],
            (side, side),
            row.steps,
            row.guidance or 0.0,
            look=self.look,
        )
        return image

    def look(self) -> None:
        """Leaves in the middle of what a checkpoint that is written has no part in."""
        if self.stop.is_set():
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the network has what is published: the moving average, if there is one."""
        own = [p.detach().clone() for p in self.parameters[: len(self.average)]]
        for parameter, value in zip(self.parameters, self.average, strict=False):
            parameter.data.copy_(value)
        yield
        for parameter, value in zip(self.parameters, own, strict=False):
            parameter.data.copy_(value)

    def write(self, path: Path, step: int) -> None:
        captions = [example.caption for example in self.dataset.examples]
        spec = self.spec.model_copy(update={"steps": step})
        lora_training.write(
            path, self.family, lora_training.tensors(self.family), spec, self.pictures, captions
        )

    def log(self, step: int, loss: float, speed: float) -> None:
        self.tell(
            {
                "event": "step",
                "step": step,
                "steps": self.spec.steps,
                "loss": loss,
                "learning_rate": learning_rate(self.spec, step - 1),
                "steps_per_second": round(speed, 3),
                "seconds_left": round((self.spec.steps - step) / speed, 1),
            }
        )

    def tell(self, event: LoggedEvent) -> None:
        if not self.group.main:
            return
        try:
            with self.folder.log.open("a") as file:
                file.write(json.dumps(event) + "\n")
        except OSError as error:
            raise cannot_write(self.folder.log, error) from error
        for tracker in self.trackers:
            tracker.add(event)
        self.report(event)
