"""Training: photos and a TrainSpec in, a LoRA out. The loop is `_steps`; one step is
`step_loss` and an optimiser's step."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from fluxbooth import base_selection, events, picture_files, threads
from fluxbooth.errors import FluxboothError
from fluxbooth.evaluation import run_report, scoring
from fluxbooth.evaluation.scoring import Scorer
from fluxbooth.events import CheckpointSaved, LoggedEvent, TrainingReport
from fluxbooth.files import cannot_write, write_whole
from fluxbooth.generation.enhance import heads
from fluxbooth.generation.sampling import draw
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Plan
from fluxbooth.models import loader, out_of_memory, planner, registry
from fluxbooth.models.family import Family, moved, to_device
from fluxbooth.photos import faces, inspection
from fluxbooth.photos.inspection import Photo
from fluxbooth.process_lifetime import stop_signals
from fluxbooth.results import Facts
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec, stage_steps
from fluxbooth.training import (
    captions,
    choosing,
    distributed,
    flow,
    run_folder,
    run_warnings,
    trackers,
)
from fluxbooth.training.choosing import Chooser, Look
from fluxbooth.training.dataset import Batch, Dataset, fitted_length, prepare
from fluxbooth.training.distributed import ProcessGroup
from fluxbooth.training.optimizers import learning_rate, make_optimizer, optimizer_class
from fluxbooth.training.run_folder import RunFolder
from fluxbooth.training.trackers import Tracker

T = TypeVar("T")
VALIDATION_PHOTOS = 4  # five forward passes each, at every checkpoint
LOG_EVERY = 10  # steps; reading the loss more often would make a GPU wait


@dataclass(frozen=True, repr=False)
class TrainResult(Facts):
    """What a training came to.

    Attributes:
        lora: The LoRA, a safetensors file in diffusers' format.
        steps: Steps trained, those before a resume included.
        planned: Steps that were to be trained; fewer were if nothing got better.
        chosen: The step that the LoRA is of: the best by its pictures, or the last.
        identity: How alike the subject the pictures of that step were, 0 to 1; None: not judged.
        prompt: How much of their prompts they showed, in the same way.
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
    planned: int
    chosen: int
    identity: float | None
    prompt: float | None
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

    The same call on the folder of an interrupted run resumes it: on a CPU to the very weights of an
    unbroken run on the same machine and versions; on a GPU, whose sums vary in their last bits, as
    close as two unbroken runs are. Processes that `accelerate launch` started train together,
    each with the spec's batch, on the same folder.

    Args:
        photos: A folder or files, best 4-20 of them: JPEG, PNG, WebP, AVIF, TIFF, BMP or HEIC of
            any size, with optional `.txt` captions beside them.
        spec: What to train; fields that are None are filled in with what suits the base.
        out: The folder of the run, made if need be: LoRA, spec, log, checkpoints, samples.
        report: Called with each event, a dict of `events.py`: first the plan (what is given up to
            fit the memory there is, and why), then warnings, that all is prepared, steps,
            checkpoints, stages, samples, and how good checkpoints were found.
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
    spec = _checked(spec, family)
    pictures = inspection.read(photos)
    count, resolved = len(pictures), registry.resolve(spec, len(pictures))
    if family is None:
        loader.here(resolved.base, training=True)  # before anything is written
    given, pictures = pictures, _completed(pictures, resolved)
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
        group.on_main(lambda: folder.show_captions(given, pictures))
        warn = _warner(report, warnings := list[str]())
        for text in run_warnings.of_photos(photos, pictures[:count], told):
            warn(text)
        resident = family
        family = family or loader.load(told.base, training=True, choice=plan.choice)
        told = told.model_copy(update={"text_length": fitted_length(pictures, family, told)})
        scorer = _scorer(told, family, given)
        drawn = (*told.sample_prompts, *(choosing.texts_of(told.trigger) if scorer else ()))
        stay, cache = resident is not None, folder.cache_of(group.rank)
        with threads.same_bits(family.row.small):
            dataset = prepare(
                pictures, family, told, cache, aside, warn, drawn=drawn, keep_encoders=stay
            )
        family.load_network()
        held.enter_context(lora_training.removed_after(resident))
        held.enter_context(threads.free_cores())
        family.checkpoint_gradients(plan.choice.checkpointed)
        run = _Run(told, family, dataset, folder, report, group, count, aside, scorer, given)
        return _train(run, began, len(pictures), warnings)


def _warner(report: TrainingReport, told: list[str]) -> Callable[[str], None]:
    """Tells each sentence once, before the first step."""

    def warn(text: str) -> None:
        if text not in told:
            told.append(text)
            report({"event": "warning", "step": 0, "text": text})

    return warn


def _checked(spec: TrainSpec, family: Family | None) -> TrainSpec:
    """The spec with its base; what is not there is said before anything loads."""
    optimizer_class(spec.optimizer)
    trackers.check(spec)
    spec = base_selection.with_base(spec, family=family)
    if spec.continue_from:
        base = registry.find(spec.base)
        lora_training.read_to_train_on(spec.continue_from, spec.rank, base)
    return spec


def _completed(photos: Sequence[Photo], spec: ResolvedTrainSpec) -> list[Photo]:
    """The photos with captions, and the close-ups that are trained on beside them.

    Raises InputError where heads or faces are wanted and nothing finds them.
    """
    row = registry.find(spec.base)
    if spec.outside_head < 1:
        heads.check(row)
    with threads.same_bits(row.small):
        pictures = captions.written(photos, spec)
    if spec.face_crop:
        pictures += faces.close_ups(photos, least=min(spec.resolutions) // 2)
    return pictures


def _plan(
    spec: ResolvedTrainSpec, folder: RunFolder, group: ProcessGroup, family: Family | None
) -> Plan:
    """What is given up to fit the memory there is; a run that loads its base keeps it in its
    folder."""
    if family is not None:
        return planner.training(spec, there=family.choice)
    group.on_main(lambda: folder.begin(planner.training(folder.as_begun(spec)).choice))
    return planner.training(folder.as_planned(spec))


def _scorer(spec: ResolvedTrainSpec, family: Family, photos: Sequence[Photo]) -> Scorer | None:
    """What the best checkpoint is chosen by; None where none is to be, or can be, chosen."""
    if not choosing.possible(spec.steps, spec.choose_within):
        return None
    with threads.same_bits(family.row.small):
        return scoring.scorer_for(family.row, spec.class_name, photos)


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
        started, before = time.monotonic(), folder.rewind_log(done) if run.group.main else []
        losses = [event["loss"] for event in before if event["event"] == "step"]
        run.choose_on(done, before)
        with stop_signals() as stop:
            for step, loss in run.steps(done, stop):
                losses.append(loss)
                run.log(step, loss, (step - done) / (time.monotonic() - started))
        for text in (diverged := run_warnings.of_losses(losses, spec)):
            run.tell({"event": "warning", "step": run.done, "text": text})
    seconds = time.monotonic() - started
    validation = run.end()
    steps, chosen = run.done, run.best
    tail = losses[-max(1, steps // 10) :]
    return TrainResult(
        folder.lora,
        steps,
        spec.steps,
        chosen.step if chosen else steps,
        chosen.identity if chosen else None,
        chosen.prompt if chosen else None,
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
    eps = torch.randn(batch.z.shape, generator=draw)[part].to(batch.z.dtype)
    sigma = flow.sample_sigma(spec.sigma_law, len(batch.z), draw, family.mu(batch.size))
    eps, sigma = to_device(eps, family.device), to_device(sigma[part], family.device)
    batch = batch.part(part).to(family.device)
    x = flow.interpolate(batch.z, eps, sigma)
    velocity = family.velocity(x, sigma, batch.conditioning, spec.guidance, batch.size)
    return flow.velocity_loss(velocity, batch.z, eps, batch.weight)


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
        scorer: Scorer | None,
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
        self.done, self.over = 0, False  # steps; whether more of them would do no good
        self.chooser = None
        if scorer is not None:
            texts = [dataset.conditioning(text) for text in choosing.texts_of(spec.trigger)]
            self.chooser = Chooser(family, scorer, texts, folder.path / run_folder.LOOKS)

    def steps(self, start: int, stop: threading.Event) -> Iterator[tuple[int, float]]:
        """Trains from step `start` to the end; yields (steps done, loss), after the first one
        in groups of ten, read at once."""
        spec, pending, self.stop = self.spec, list[Tensor](), stop
        for step in range(start, spec.steps):
            if self.over:
                return
            self.aside()
            threads.look()
            began = time.monotonic()
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(spec, step)
            loss = self.fitting(step, functools.partial(self.gradients, step))
            self.group.average([p.grad for p in self.parameters if p.grad is not None])
            nn.utils.clip_grad_norm_(self.parameters, spec.clip_norm)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            if self.average:
                torch._foreach_lerp_(
                    self.average, [p.detach() for p in self.parameters], 1 - (spec.ema or 0)
                )
            pending.append(loss)
            self.done = done = step + 1
            if self.chooser and self.chooser.plan is None:
                loss.item()  # a GPU has done the step by now
                if self.chooser.took(time.monotonic() - began):
                    self.plan_choosing()
            stopping = self.group.any(stop.is_set())
            due = (
                done % spec.checkpoint_every == 0
                or done == spec.steps
                or done in self.stages
                or stopping
            )
            looks = self.chooser is not None and self.chooser.is_due(done)
            # the first one shows that it goes
            if len(pending) == LOG_EVERY or done == start + 1 or due or looks:
                losses = self.read_losses(done, pending)
                yield from zip(range(done - len(losses) + 1, done + 1), losses, strict=True)
                pending = []
            leaving = stopping and done < spec.steps
            if due:
                self.group.on_main(functools.partial(self.checkpoint, done, leaving))
            if leaving:
                raise KeyboardInterrupt
            self.look_around(done)

    def gradients(self, step: int) -> Tensor:
        """Those of a step, and its loss; without any of an attempt that ran out of memory."""
        self.optimizer.zero_grad(set_to_none=True)
        batch = self.dataset.batch_at(step, self.spec)
        loss = step_loss(self.family, batch, self.spec, step, self.group.part(len(batch.indices)))
        loss.backward()
        return loss.detach()

    def fitting(self, step: int, work: Callable[[], T]) -> T:
        """Does it with as much given up as a card's memory asks for, and says so."""

        def say(text: str) -> None:
            self.tell({"event": "warning", "step": step, "text": text})

        return out_of_memory.retried(self.family, work, say, training=True)

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

    def choose_on(self, done: int, events: Sequence[LoggedEvent]) -> None:
        """Goes on choosing where a process before stopped, by what it told."""
        if self.chooser is None:
            return
        scored = [event for event in events if event["event"] == "scored"]
        self.chooser.looks += [
            Look(event["step"], event["value"], event["identity"], event["prompt"])
            for event in scored
        ]
        if done:
            self.read_plan()
        if self.group.any(any(look.step == done for look in self.chooser.looks)):
            self.over = self.is_over()
        else:  # a kill came between checkpoint and look
            self.look_around(done, staged=False)

    def read_plan(self) -> choosing.Plan | None:
        """The plan that was noted; samples, if stages have any, are drawn at each look, too."""
        plan = self.chooser.read_plan() if self.chooser else None
        if plan and self.stages:
            self.stages = sorted({*self.stages, *plan.steps})
        return plan

    def plan_choosing(self) -> None:
        chooser = self.chooser
        assert chooser is not None

        def measure() -> None:
            with self.averaged():
                chooser.measure(self.spec.steps, self.spec.choose_within)

        self.group.on_main(measure)
        plan = self.read_plan()
        assert plan is not None
        self.tell(
            {
                "event": "choosing",
                "step": self.done,
                "at": list(plan.steps),
                "pictures": plan.pictures,
                "text": plan.why,
            }
        )

    def look_around(self, step: int, *, staged: bool = True) -> None:
        """Keeps the LoRA of a stage, and of a checkpoint that is scored; `staged`: not again."""
        looks = self.chooser is not None and self.chooser.is_due(step)
        if (step in self.stages and staged) or looks:
            self.group.on_main(functools.partial(self.keep_stage, step))
        if looks:
            self.group.on_main(functools.partial(self.score, step))
            self.over = self.is_over()

    def is_over(self) -> bool:
        """Whether to end before the last step; all processes must ask."""
        over = self.chooser is not None and self.chooser.is_over
        return self.spec.stop_early and self.group.any(over)

    def score(self, step: int) -> None:
        """Draws and scores the pictures by which the LoRA of this step is chosen or not."""
        assert self.chooser is not None
        began = time.monotonic()
        with self.averaged():
            pictures, score = self.fitting(
                step, functools.partial(self.chooser.look, step, self.aside, self.look)
            )
        paths = list[str]()
        for number, picture in enumerate(pictures):
            paths.append(str(self.folder.scored(step, number)))
            picture_files.save(picture, Path(paths[-1]))
        assert self.best is not None
        self.tell(
            {
                "event": "scored",
                "step": step,
                "identity": score.identity,
                "prompt": score.prompt,
                "variety": score.variety,
                "value": score.value,
                "best": self.best.step,
                "pictures": paths,
                "seconds": round(time.monotonic() - began, 3),
            }
        )

    @property
    def best(self) -> Look | None:
        return self.chooser.best if self.chooser else None

    def end(self) -> float:
        """Writes the report, and at last the LoRA; the validation loss of the last step."""
        with self.averaged():
            validated = self.validated and not self.average and self.done == self.spec.steps
            validation = (
                self.validated[-1] if validated else self.fitting(self.done, self.validation_loss)
            )
            self.group.on_main(lambda: run_report.write(self.folder.path, self.shown))
            self.group.on_main(lambda: self.write_best(self.folder.lora))
        self.group.on_main(self.folder.finish)
        return validation

    def write_best(self, path: Path) -> None:
        if self.best is None:
            self.write(path, self.done)
        else:
            write_whole(path, self.folder.stage(self.best.step).read_bytes())

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


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
