"""Part B of `bench.gpu`: whether a card does what a CPU was seen to do."""

from __future__ import annotations

import asyncio
import functools
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from bench import gpu_base
from bench.gpu_base import Part, Setting
from fluxbooth import hardware
from fluxbooth.engine.device_pool import Device
from fluxbooth.evaluation.rows import Row, distance, figures, resume_held
from fluxbooth.files import save_tensors
from fluxbooth.hardware import GIB, Room
from fluxbooth.lora import training as lora_training
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice, Job
from fluxbooth.models import out_of_memory
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.training import run_folder
from fluxbooth.training.loop import step_loss
from fluxbooth.training.optimizers import make_optimizer

COMPILED_OFF = 2e-2
# of a LoRA's gradient on a random network: what a layer's own error may grow to
QUANTISED_OFF = {"int8": 0.1, "fp8": 0.3, "nf4": 0.6}
STEPS = 20


def part(setting: Setting) -> Part:
    made = Part("B, correctness")
    for deterministic in (False, True):
        how = "deterministic" if deterministic else "as it is"
        made.add(
            f"a training that was resumed, {how}",
            functools.partial(resume, deterministic=deterministic),
        )
    made.add("gradients, compiled", compiled_gradients)
    for quantisation in setting.quantisations:
        made.add(f"gradients, {quantisation}", functools.partial(gradients, kind=quantisation))
    made.add("numbers that are not finite", not_finite)
    for cap in setting.caps:
        made.add(f"{cap:g} GB: two trainings by plan", functools.partial(capped, cap=cap))
    made.add("memory runs out in a step", runs_out)
    made.add("a cancel is answered", cancelled)
    made.add("a picture of a new process", fork_server)
    return made


class _Training:
    """A LoRA on the base, and its optimiser."""

    def __init__(self, setting: Setting, family: Flux1, name: str = "adamw") -> None:
        self.setting, self.family = setting, family
        self.spec = gpu_base.spec(setting, steps=STEPS, optimizer=name, learning_rate=1e-3)
        self.parameters = gpu_base.lora(setting, family)
        self.optimizer = make_optimizer(self.spec, self.parameters)

    def learn(self, start: int, end: int, sides: Sequence[int] = ()) -> list[float]:
        losses = []
        for step in range(start, end):
            sizes = sides or self.setting.sides[:1]
            data = gpu_base.batch(self.setting, sizes[step % len(sizes)])
            loss = step_loss(self.family, data, self.spec, step)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
        return torch.stack(losses).tolist()

    def weights(self) -> list[Tensor]:
        return [p.detach().float().cpu().clone() for p in self.parameters]


@contextmanager
def _training(setting: Setting, family: Flux1) -> Iterator[_Training]:
    with lora_training.removed_after(family):
        yield _Training(setting, family)


def resume(setting: Setting, *, deterministic: bool) -> Row:
    """Half, a checkpoint on disk, the other half on a new LoRA: as far from an unbroken run as
    another unbroken one is, at most twice."""
    gpu_base.fresh(setting)
    half = STEPS // 2
    family = gpu_base.family(setting, gpu_base.choice(setting))
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    try:
        runs = list[list[Tensor]]()
        for _ in range(2):
            with _training(setting, family) as whole:
                whole.learn(0, STEPS)
                runs.append(whole.weights())
        with tempfile.TemporaryDirectory() as folder, _training(setting, family) as first:
            first.learn(0, half)
            state = run_folder.optimizer_state(first.optimizer)
            save_tensors(Path(folder) / "state.safetensors", state)
            kept = load_file(Path(folder) / "state.safetensors")
            lora = lora_training.tensors(family)
            lora = {name: value.clone() for name, value in lora.items()}
        with _training(setting, family) as second:
            lora_training.restore(family, lora)
            run_folder.restore_optimizer(second.optimizer, kept)
            second.learn(half, STEPS)
            resumed = second.weights()
    finally:
        torch.use_deterministic_algorithms(False)
    own, after = distance(runs[1], runs[0]), distance(resumed, runs[0])
    ok, against = resume_held(after, own)
    return figures([after], "relative difference", ok=ok, against=against)


def _gradient(setting: Setting, kept: Choice, *, compiled: bool = False) -> list[Tensor]:
    gpu_base.fresh(setting)
    family = gpu_base.family(setting, kept)
    parameters = gpu_base.lora(setting, family)
    for number, parameter in enumerate(parameters):  # else those of A are zero
        draw = torch.Generator().manual_seed(number)
        parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * gpu_base.DEVIATION)
    if compiled:
        gpu_base.compiled(setting, family)
    family.checkpoint_gradients(setting.blocks)
    data, spec = gpu_base.batch(setting, setting.sides[0]), gpu_base.spec(setting)
    step_loss(family, data, spec, 0).backward()
    return [p.grad.float().cpu() for p in parameters if p.grad is not None]


def compiled_gradients(setting: Setting) -> Row:
    usual = _gradient(setting, gpu_base.choice(setting))
    off = distance(_gradient(setting, gpu_base.choice(setting), compiled=True), usual)
    return figures(
        [off], "relative difference", ok=off <= COMPILED_OFF, against="2e-2 of the eager ones"
    )


def gradients(setting: Setting, *, kind: Any) -> Row:
    """Of a quantised base beside those of float32 on weights in what they are computed in."""
    exact = _gradient(
        setting, replace(gpu_base.choice(setting), dtype="float32", stored=setting.dtype)
    )
    off = distance(_gradient(setting, gpu_base.choice(setting, quantisation=kind)), exact)
    most = QUANTISED_OFF[kind]
    return figures([off], "relative difference", ok=off <= most, against=f"at most {most:g}")


def not_finite(setting: Setting) -> Row:
    """What blocks put out, forwards, and what the LoRA is told, backwards, at the largest size."""
    gpu_base.fresh(setting)
    family = gpu_base.family(setting, gpu_base.choice(setting))
    parameters, found = gpu_base.lora(setting, family), list[Tensor]()

    def look(module: Any, given: Any, out: Any) -> None:
        for tensor in out if isinstance(out, tuple) else (out,):
            found.append((~torch.isfinite(tensor)).sum())

    blocks = [*family.network.transformer_blocks, *family.network.single_transformer_blocks]
    hooks = [block.register_forward_hook(look) for block in blocks]
    data = gpu_base.batch(setting, setting.sides[-1])
    step_loss(family, data, gpu_base.spec(setting), 0).backward()
    for hook in hooks:
        hook.remove()
    found += [(~torch.isfinite(p.grad)).sum() for p in parameters if p.grad is not None]
    count = sum(int(n) for n in found)
    return figures([count], "numbers", ok=count == 0, against=f"0 in {len(found)} tensors")


def capped(setting: Setting, *, cap: float) -> Row:
    """As on a card of so many GB: the plan's own choice, steps of all sizes by turns, twice in one
    process; the second must be planned as the first."""
    shares = []
    if setting.device.type == "cuda":
        whole = torch.cuda.mem_get_info()[1]
        if cap * GIB > whole:
            return figures([0.0], "of the estimate", against="the card has less")
        torch.cuda.set_per_process_memory_fraction(cap * GIB / whole)
    try:
        plans = list[Choice]()
        for _ in range(2):
            gpu_base.fresh(setting)
            room = Room(_room(setting, cap), hardware.free_memory(), setting.dtype)
            job = Job(setting.sides[-1], setting.text_length, 1, setting.rank)
            plan = estimate.choose("flux-dev", setting.size, job, room)
            plans.append(plan.choice)
            shares.append(_mixed(setting, plan))
    finally:
        if setting.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(1.0)
    return figures(
        shares,
        "of the estimate",
        ok=plans[0] == plans[1] and all(0.92 <= share <= 1.08 for share in shares or [1]),
        against="memory within 8%, and the second job as the first",
        choice=str(plans[0]),
    )


def _room(setting: Setting, cap: float) -> float:
    if setting.device.type != "cuda":
        return cap * GIB
    kept = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return min(torch.cuda.mem_get_info()[0] + kept, cap * GIB - torch.cuda.memory_allocated())


def _mixed(setting: Setting, plan: estimate.Plan) -> float:
    """The most that was held beside what was foreseen; 1 where nothing can be measured."""
    family = gpu_base.family(setting, replace(plan.choice, encoders="leave"))
    family.checkpoint_gradients(plan.choice.checkpointed)
    with _training(setting, family) as training:
        losses = training.learn(0, setting.mixed_steps, setting.sides)
    assert all(loss == loss and abs(loss) < 1e6 for loss in losses), losses
    used = gpu_base.memory(setting)
    made = plan.estimate
    foreseen = (made.base + made.adapter + made.step) * estimate.SLACK
    return used["max_reserved"] / foreseen if used else 1.0


def runs_out(setting: Setting) -> Row:
    """The card is made too small in the middle of a training: how often more was given up until
    it went on, with a loss that is a number."""
    gpu_base.fresh(setting)
    family, said = gpu_base.family(setting, gpu_base.choice(setting)), list[str]()
    left = [2]
    with _training(setting, family) as training:
        training.learn(0, 1)
        if setting.device.type == "cuda":
            hardware.release_memory()
            whole = torch.cuda.mem_get_info()[1]
            torch.cuda.set_per_process_memory_fraction(
                (torch.cuda.memory_reserved() + 2 * GIB) / whole
            )

        def work() -> list[float]:
            training.optimizer.zero_grad(set_to_none=True)
            if setting.device.type != "cuda" and left[0]:
                left[0] -= 1
                raise torch.OutOfMemoryError("as on a card")
            return training.learn(1, 2, setting.sides[-1:])

        try:
            (loss,) = out_of_memory.retried(family, work, said.append, training=True)
        finally:
            if setting.device.type == "cuda":
                torch.cuda.set_per_process_memory_fraction(1.0)
    return figures(
        [len(said)], "times", ok=bool(said) and loss == loss, against="it went on", said=said[-1:]
    )


def cancelled(setting: Setting) -> Row:
    """A step and a checkpoint on disk, which is what a cancel waits for."""
    gpu_base.fresh(setting)
    family = gpu_base.family(setting, gpu_base.choice(setting))
    took = []
    with tempfile.TemporaryDirectory() as folder, _training(setting, family) as training:
        training.learn(0, 2)
        for step in range(2, 5):
            gpu_base.synchronize(setting)
            began = time.perf_counter()
            training.learn(step, step + 1)
            state = run_folder.optimizer_state(training.optimizer)
            tensors = lora_training.tensors(family)
            run_folder.RunFolder(Path(folder)).save(step, tensors, state, 2)
            took.append(time.perf_counter() - began)
    return figures(took, "s", against="no limit: the service waits for three of them")


def fork_server(setting: Setting) -> Row:
    """From a start of the device's process to a picture of nano, and again after it was killed."""

    async def story(device: Device, out: Path) -> list[float]:
        took = []
        for number in range(2):
            request = {
                "work": "generate",
                "text": "a man",
                "spec": {"base": "nano", "steps": 2, "seed": 1},
                "out": str(out / str(number)),
            }
            began = time.perf_counter()
            assert await device.run(request, lambda: True, _silent) is not None
            took.append(time.perf_counter() - began)
            device.kill()
            while device.pid is not None:
                await asyncio.sleep(0.05)
        return took

    device = Device({} if setting.device.type == "cuda" else {"CUDA_VISIBLE_DEVICES": ""})
    with tempfile.TemporaryDirectory() as folder:
        try:
            took = asyncio.run(story(device, Path(folder)))
        finally:
            if device.process is not None:
                device.process.kill()
                device.process.wait()
    return figures(took[1:], "s", against="the first", first=round(took[0], 2))


async def _silent(event: object) -> None: ...
