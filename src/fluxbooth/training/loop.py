"""Training: photos and a TrainSpec in, a LoRA out. The loop is `_steps`; one step is
`step_loss` and an optimiser's step."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fluxbooth import base_selection, events, picture_files, threads
from fluxbooth.errors import FluxboothError
from fluxbooth.events import CheckpointSaved, LoggedEvent, TrainingReport
from fluxbooth.files import cannot_write
from fluxbooth.generation.sampling import draw
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Plan
from fluxbooth.models import loader, planner, registry
from fluxbooth.models.family import Family
from fluxbooth.photos import faces, inspection
from fluxbooth.process_lifetime import stop_signals
from fluxbooth.results import Facts
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec, stage_steps
from fluxbooth.training import distributed, flow, run_folder, run_warnings, trackers
from fluxbooth.training.dataset import Batch, Dataset, prepare
from fluxbooth.training.distributed import ProcessGroup
from fluxbooth.training.optimizers import learning_rate, make_optimizer, optimizer_class
from fluxbooth.training.run_folder import RunFolder
from fluxbooth.training.trackers import Tracker

VALIDATION_PHOTOS = 4  # five forward passes each, at every checkpoint
LOG_EVERY = 10  # steps; reading the loss more often would make a GPU wait


@dataclass(frozen=True, repr=False)
class TrainResult(Facts):
    """What a training came to.

    Attributes:
        lora: The LoRA, a safetensors file in diffusers' format.
        steps: Steps trained, those before a resume included.
        steps_per_second: Of this process, without preparation.
        loss: Mean of the last tenth of the steps that this process trained.
        validation_loss: At fixed noise levels and noise, on up to four of the photos.
        seconds: Of this process, preparation included.
        peak_rss_mb: Most main memory that this process held, MB of 2^20 bytes.
        base: The base that it was trained on, as in the spec.
        trigger: The words that call the subject: `ohwx man`.
        warnings: Sentences on photos, captions and loss.
    """

    lora: Path
    steps: int
    steps_per_second: float
    loss: float
    validation_loss: float
    seconds: float
    peak_rss_mb: float
    base: str
    trigger: str
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON can hold them: the path as text."""
        return {**self.__dict__, "lora": str(self.lora)}


def train(
    photos: str | Path | Sequence[str | Path],
    spec: TrainSpec,
    out: str | Path,
    report: TrainingReport | None = None,
    *,
    overwrite: bool = False,
    family: Family | None = None,
    aside: Callable[[], None] = lambda: None,
) -> TrainResult:
    """Trains a LoRA on photos of one subject and writes it to `out`/ohwx.safetensors.

    The loss is that of rectified flow: the squared distance of the predicted velocity to noise -
    latents, at noise levels drawn by `spec.sigma_law` (Esser et al. 2024, arXiv 2403.03206). The
    LoRA (Hu et al. 2021, arXiv 2106.09685) adapts every Linear of the base's blocks, as DreamBooth
    asks: a rare token learns the subject (Ruiz et al. 2022, arXiv 2208.12242).

    The same call on the folder of an interrupted run resumes it, to the very weights of an unbroken
    run on the same machine and versions. Processes that `accelerate launch` started train together,
    each with the spec's batch, on the same folder.

    Args:
        photos: A folder or files, best 4-20 of them: JPEG, PNG, WebP, AVIF, TIFF, BMP or HEIC of
            any size, with optional `.txt` captions beside them.
        spec: What to train; fields that are None are filled in with what suits the base.
        out: The folder of the run, made if need be: LoRA, spec, log, checkpoints, samples.
        report: Called with each event, a dict of `events.py`: first the plan (what is given up to
            fit the memory there is, and why), then warnings, that all is prepared, steps,
            checkpoints, stages and samples.
        overwrite: Replace the training that `out` holds.
        family: A base that is in memory already (`models.load`); it is given back as it was.
        aside: Called where the training can stand aside: between photos, steps, samples and the
            batches of a validation. What draws with the base meanwhile, within
            `lora.training.branches_off`, changes no bit of what is learnt.

    Raises:
        InputError: For photos, settings or an output folder that will not do, or too little memory.
        FluxboothError: When the loss became NaN or the disk is full.
        KeyboardInterrupt: After a checkpoint, on Ctrl-C or SIGTERM.
    """
    began, report, group = time.monotonic(), report or (lambda event: None), distributed.join()
    optimizer_class(spec.optimizer)  # what is not there is said before anything loads
    trackers.check(spec)
    spec = base_selection.with_base(spec, family=family)
    if spec.continue_from:
        base = registry.find(spec.base)
        lora_training.read_to_train_on(spec.continue_from, spec.rank, base)
    pictures = inspection.read(photos)
    count, resolved = len(pictures), registry.resolve(spec, len(pictures))
    if family is None:
        loader.here(resolved.base, training=True)  # before anything is written
    if resolved.face_crop:
        pictures += faces.close_ups(pictures, least=min(resolved.resolutions) // 2)
    folder = RunFolder(Path(out))
    with contextlib.ExitStack() as held:
        opened = RunFolder.opened(Path(out), group.whole(resolved), pictures, overwrite=overwrite)
        group.on_main(lambda: held.enter_context(opened))
        plan = _plan(resolved, folder, group, family)
        # what made the weights is told with them
        told = group.whole(resolved).model_copy(
            update={"dtype": plan.choice.dtype, "quantisation": plan.choice.quantisation}
        )
        report(events.plan(plan))
        warnings = run_warnings.of_photos(photos, pictures[:count], told)
        for text in warnings:
            report({"event": "warning", "step": 0, "text": text})
        resident = family
        family = family or loader.load(told.base, training=True, choice=plan.choice)
        cache = folder.cache_of(group.rank)
        with threads.same_bits(family.row.small):
            stays = resident is not None
            dataset = prepare(pictures, family, told, cache, aside, keep_encoders=stays)
        family.load_network()
        held.enter_context(lora_training.removed_after(resident))
        held.enter_context(threads.free_cores())
        family.checkpoint_gradients(plan.choice.checkpointed)
        run = _Run(told, family, dataset, folder, report, group, count, aside)
        return _train(run, began, len(pictures), warnings)


def _plan(
    spec: ResolvedTrainSpec, folder: RunFolder, group: ProcessGroup, family: Family | None
) -> Plan:
    """What is given up to fit the memory there is; a run that loads its base keeps it in its
    folder."""
    if family is not None:
        return planner.training(spec, there=family.choice)
    group.on_main(lambda: folder.begin(planner.training(folder.as_begun(spec)).choice))
    return planner.training(folder.as_planned(spec))


def _train(run: _Run, began: float, pictures: int, warnings: list[str]) -> TrainResult:
    spec, folder = run.spec, run.folder
    done = run.resume()
    run.report(
        {
            "event": "prepared",
            "pictures": pictures,
            "steps": spec.steps,
            "resumed_at": done,
            "spec": spec.model_dump(mode="json"),
        }
    )
    with trackers.opened(spec, folder.path, done, run.group.main) as run.trackers:
        # a kill came between checkpoint and stage
        if done in run.stages and not folder.stage(done).exists():
            run.group.on_main(lambda: run.keep_stage(done))
        elif run.stages and not done:
            run.group.on_main(lambda: run.draw_samples(0))  # to compare with
        started, losses = time.monotonic(), folder.rewind_log(done) if run.group.main else []
        with stop_signals() as stop:
            for step, loss in run.steps(done, stop):
                losses.append(loss)
                run.log(step, loss, (step - done) / (time.monotonic() - started))
        for text in (diverged := run_warnings.of_losses(losses, spec)):
            run.tell({"event": "warning", "step": spec.steps, "text": text})
    seconds = time.monotonic() - started
    with run.averaged():
        validation = (
            run.validation_loss() if run.average or not run.validated else run.validated[-1]
        )
        run.group.on_main(lambda: run.write(folder.lora, spec.steps))
    run.group.on_main(folder.finish)
    steps = spec.steps
    tail = losses[-max(1, steps // 10) :]
    return TrainResult(
        folder.lora,
        steps,
        (steps - done) / seconds,
        sum(tail) / max(1, len(tail)),
        validation,
        time.monotonic() - began,
        peak_rss_mb(),
        spec.base,
        spec.trigger,
        warnings + diverged,
    )


def step_loss(
    family: Family, batch: Batch, spec: ResolvedTrainSpec, step: int, part: slice = slice(None)
) -> Tensor:
    """The loss of one step (`flow.py` has the formulas), or of the part of its batch that is this
    process's; the noise and sigmas of the batch follow from (seed, step) alone.
    """
    draw = flow.generator(spec.seed, 3, step)
    eps = torch.randn(batch.z.shape, generator=draw)[part].to(batch.z)
    sigma = flow.sample_sigma(spec.sigma_law, len(batch.z), draw, family.mu(batch.size))
    sigma = sigma[part].to(batch.z.device)
    batch = batch.part(part)
    x = flow.interpolate(batch.z, eps, sigma)
    velocity = family.velocity(x, sigma, batch.conditioning, spec.guidance, batch.size)
    return flow.velocity_loss(velocity, batch.z, eps)


class _Run:
    """What a run carries from step to step: the adapter, its optimiser and its moving average."""

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
    ) -> None:
        self.spec = spec
        self.family = family
        self.dataset = dataset
        self.folder = folder
        self.report = report
        self.group = group
        self.aside = aside
        self.stages, self.pictures = stage_steps(spec), pictures
        self.parameters = lora_training.add(family, spec.rank, spec.seed)
        if spec.continue_from:
            lora_training.continue_from(family, spec.continue_from, spec.rank)
        self.average = [p.detach().clone() for p in self.parameters] if spec.ema else []
        self.optimizer = make_optimizer(spec, self.parameters)
        self.trackers: list[Tracker] = []
        self.validated: list[float] = []  # the validation loss at each checkpoint

    def steps(self, start: int, stop: threading.Event) -> Iterator[tuple[int, float]]:
        """Trains from step `start` to the end; yields (steps done, loss), after the first one
        in groups of ten, read at once."""
        spec, pending = self.spec, list[Tensor]()
        for step in range(start, spec.steps):
            self.aside()
            threads.look()
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(spec, step)
            batch = self.dataset.batch_at(step, spec)
            loss = step_loss(self.family, batch, spec, step, self.group.part(len(batch.indices)))
            loss.backward()
            self.group.average([p.grad for p in self.parameters if p.grad is not None])
            nn.utils.clip_grad_norm_(self.parameters, spec.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.average:
                torch._foreach_lerp_(
                    self.average, [p.detach() for p in self.parameters], 1 - (spec.ema or 0)
                )
            pending.append(loss.detach())
            done, stopping = step + 1, self.group.any(stop.is_set())
            due = (
                done % spec.checkpoint_every == 0
                or done == spec.steps
                or done in self.stages
                or stopping
            )
            # the first one shows that it goes
            if len(pending) == LOG_EVERY or done == start + 1 or due:
                losses = self.read_losses(done, pending)
                yield from zip(range(done - len(losses) + 1, done + 1), losses, strict=True)
                pending = []
            leaving = stopping and done < spec.steps
            if due:
                self.group.on_main(functools.partial(self.checkpoint, done, leaving))
            if leaving:
                raise KeyboardInterrupt
            if done in self.stages:
                self.group.on_main(functools.partial(self.keep_stage, done))

    def read_losses(self, done: int, pending: list[Tensor]) -> list[float]:
        stacked = torch.stack(pending)
        self.group.average([stacked])
        losses = stacked.tolist()
        if all(math.isfinite(loss) for loss in losses):
            return losses
        first = (
            done
            - len(losses)
            + 1
            + next(i for i, loss in enumerate(losses) if not math.isfinite(loss))
        )
        kept = self.folder.checkpoints()
        raise FluxboothError(
            (
                f"The loss became {losses[first - done + len(losses) - 1]} at step {first}, so "
                f"training stopped: lower --learning-rate ({self.spec.learning_rate:g}) or use "
                "--dtype float32; "
            )
            + (
                f"the last good checkpoint is {kept[-1]}."
                if kept
                else "there is no checkpoint yet."
            )
        )

    def resume(self) -> int:
        """Restores the last sound checkpoint; returns how many steps are done."""
        found = self.folder.latest()
        if found is None:
            return 0
        step, weights, state = found
        lora_training.restore(self.family, weights)
        run_folder.restore_optimizer(self.optimizer, state)
        for i, value in enumerate(self.average):
            value.copy_(state[f"average.{i}"])
        return step

    def checkpoint(self, step: int, leaving: bool) -> None:
        """Saves everything first; who is asked to leave does no more than that."""
        state = run_folder.optimizer_state(self.optimizer)
        state |= {f"average.{i}": value for i, value in enumerate(self.average)}
        path = self.folder.save(
            step, lora_training.tensors(self.family), state, self.spec.keep_checkpoints
        )
        event: CheckpointSaved = {"event": "checkpoint", "step": step, "path": str(path)}
        if leaving:
            self.tell(event)
            return
        self.validated.append(self.validation_loss())
        self.tell({**event, "validation_loss": self.validated[-1]})
        if not self.stages:
            self.draw_samples(step)

    def keep_stage(self, step: int) -> None:
        """Writes the LoRA as it is now, when the samples are drawn by which it will be chosen
        or not."""
        path = self.folder.stage(step)
        with self.averaged():
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
            eps = eps.to(batch.z)
            for value in flow.VALIDATION_SIGMAS:
                self.aside()
                sigma = torch.full((len(batch.z),), value, device=batch.z.device)
                x = flow.interpolate(batch.z, eps, sigma)
                velocity = self.family.velocity(
                    x, sigma, batch.conditioning, self.spec.guidance, batch.size
                )
                losses += [flow.velocity_loss(velocity, batch.z, eps).item()] * len(batch.z)
        return sum(losses) / len(losses)

    def draw_samples(self, step: int) -> None:
        for number, text in enumerate(self.spec.sample_prompts):
            self.aside()
            row, side = self.family.row, self.family.row.native_side
            image = draw(
                self.family,
                self.dataset.conditioning(text),
                [self.spec.seed],
                (side, side),
                row.steps,
                row.guidance or 0.0,
            )[0]
            path = self.folder.sample(step, number)
            picture_files.save(image, path)
            self.tell({"event": "sample", "step": step, "path": str(path), "text": text})

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


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
