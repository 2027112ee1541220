"""Training: photos and a TrainSpec in, a LoRA out. The loop is `steps`; one step is
`step_loss` and an optimiser's step."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fluxbooth import base_selection, events, threads
from fluxbooth.errors import FluxboothError
from fluxbooth.evaluation import scoring
from fluxbooth.evaluation.scoring import Scorer
from fluxbooth.events import TrainingReport
from fluxbooth.generation.enhance import heads
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Plan
from fluxbooth.models import loader, planner, registry
from fluxbooth.models.family import Family, to_device
from fluxbooth.photos import faces, inspection
from fluxbooth.photos.inspection import Photo
from fluxbooth.process_lifetime import stop_signals
from fluxbooth.results import Facts
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec
from fluxbooth.training import (
    captions,
    choosing,
    distributed,
    flow,
    run_warnings,
    trackers,
)
from fluxbooth.training.dataset import Batch, fitted_length, prepare
from fluxbooth.training.distributed import ProcessGroup
from fluxbooth.training.looks import Looks
from fluxbooth.training.optimizers import learning_rate, optimizer_class
from fluxbooth.training.run import Run
from fluxbooth.training.run_folder import RunFolder

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
        written = captions.added(given, pictures)
        group.on_main(lambda: folder.show_captions(written))
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
        run = Run(told, family, dataset, folder, report, group, count, aside, given)
        return _train(run, Looks(run, scorer), began, len(pictures), written, warnings)


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


def _train(
    run: Run,
    looks: Looks,
    began: float,
    pictures: int,
    written: dict[str, str],
    warnings: list[str],
) -> TrainResult:
    spec, folder = run.spec, run.folder
    done = run.resume()
    run.prepared(done, pictures, written)
    with trackers.opened(spec, folder.path, done, run.group.main) as run.trackers:
        # a kill came between checkpoint and stage
        if done in run.stages and not folder.stage(done).exists():
            run.group.on_main(lambda: run.keep_stage(done))
        elif run.stages and not done:
            run.group.on_main(lambda: run.draw_samples(0))  # to compare with
        started, before = time.monotonic(), folder.rewind_log(done) if run.group.main else []
        losses = [event["loss"] for event in before if event["event"] == "step"]
        looks.resume(done, before)
        with stop_signals() as stop:
            for step, loss in steps(run, looks, done, stop):
                losses.append(loss)
                run.log(step, loss, (step - done) / (time.monotonic() - started))
        for text in (diverged := run_warnings.of_losses(losses, spec)):
            run.tell({"event": "warning", "step": run.done, "text": text})
    seconds = time.monotonic() - started
    validation = run.end(looks.write)
    trained, chosen = run.done, looks.best
    tail = losses[-max(1, trained // 10) :]
    return TrainResult(
        folder.lora,
        trained,
        spec.steps,
        chosen.step if chosen else trained,
        chosen.identity if chosen else None,
        chosen.prompt if chosen else None,
        (trained - done) / seconds,
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


def steps(run: Run, looks: Looks, start: int, stop: threading.Event) -> Iterator[tuple[int, float]]:
    """Trains from step `start` to the end; yields (steps done, loss), after the first one
    in groups of ten, read at once."""
    spec, pending, run.stop = run.spec, list[Tensor](), stop
    for step in range(start, spec.steps):
        if looks.over:
            return
        run.aside()
        threads.look()
        began = time.monotonic()
        for group in run.optimizer.param_groups:
            group["lr"] = learning_rate(spec, step)
        loss = run.fitting(step, functools.partial(gradients, run, step))
        run.group.average([p.grad for p in run.parameters if p.grad is not None])
        nn.utils.clip_grad_norm_(run.parameters, spec.clip_norm)
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        if run.average:
            torch._foreach_lerp_(
                run.average, [p.detach() for p in run.parameters], 1 - (spec.ema or 0)
            )
        pending.append(loss)
        run.done = done = step + 1
        if looks.measuring:
            loss.item()  # a GPU has done the step by now
            looks.took(time.monotonic() - began)
        stopping = run.group.any(stop.is_set())
        due = (
            done % spec.checkpoint_every == 0
            or done == spec.steps
            or done in run.stages
            or stopping
        )
        looked = looks.is_due(done)
        # the first one shows that it goes
        if len(pending) == LOG_EVERY or done == start + 1 or due or looked:
            losses = read_losses(run, done, pending)
            yield from zip(range(done - len(losses) + 1, done + 1), losses, strict=True)
            pending = []
        leaving = stopping and done < spec.steps
        if due:
            run.group.on_main(functools.partial(run.checkpoint, done, leaving))
        if leaving:
            raise KeyboardInterrupt
        looks.around(done)


def gradients(run: Run, step: int) -> Tensor:
    """Those of a step, and its loss; without any of an attempt that ran out of memory."""
    run.optimizer.zero_grad(set_to_none=True)
    batch = run.dataset.batch_at(step, run.spec)
    loss = step_loss(run.family, batch, run.spec, step, run.group.part(len(batch.indices)))
    loss.backward()
    return loss.detach()


def read_losses(run: Run, done: int, pending: list[Tensor]) -> list[float]:
    stacked = torch.stack(pending)
    run.group.average([stacked])
    losses = stacked.tolist()
    if all(math.isfinite(loss) for loss in losses):
        return losses
    first = (
        done - len(losses) + 1 + next(i for i, loss in enumerate(losses) if not math.isfinite(loss))
    )
    kept = run.folder.checkpoints()
    raise FluxboothError(
        (
            f"The loss became {losses[first - done + len(losses) - 1]} at step {first}, so "
            f"training stopped: lower --learning-rate ({run.spec.learning_rate:g}) or use "
            "--dtype float32; "
        )
        + (f"the last good checkpoint is {kept[-1]}." if kept else "there is no checkpoint yet.")
    )


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far."""
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kibibytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
