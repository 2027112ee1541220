"""Part A of `bench.gpu`: what the card can do at all, and what a training step takes of it."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from bench import gpu_base
from bench.gpu_base import KERNELS, Part, Setting
from fluxbooth.evaluation.rows import Row, figures, memory_held, step_name
from fluxbooth.hardware import GIB
from fluxbooth.lora import training as lora_training
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Job
from fluxbooth.models import timing
from fluxbooth.training.loop import step_loss
from fluxbooth.training.optimizers import make_optimizer

BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}


def part(setting: Setting) -> Part:
    made = Part("A, training")
    made.add("matrix product", gemm)
    made.add("copy on the card", copy)
    for tokens in setting.tokens:
        for name in ("default", *BACKENDS):
            made.add(
                f"attention, {tokens} tokens, {name}",
                functools.partial(attention, tokens=tokens, backend=name),
            )
    for side in setting.sides:
        for count in setting.batches:
            for recomputed in (False, True):
                made.add(
                    _name("none", side, count, recomputed),
                    functools.partial(step, side=side, count=count, recomputed=recomputed),
                )
    for side in (setting.sides[0], setting.sides[-1]):
        for recomputed in (False, True):
            made.add(
                _name("none", side, 1, recomputed) + ", compiled",
                functools.partial(step, side=side, recomputed=recomputed, compiled=True),
            )
        for quantisation in setting.quantisations:
            made.add(
                _name(quantisation, side, 1, True),
                functools.partial(step, side=side, recomputed=True, quantisation=quantisation),
            )
    for count in setting.offloaded:
        made.add(
            f"step, {count} blocks wait in main memory",
            functools.partial(step, side=setting.sides[0], recomputed=True, offloaded=count),
        )
    made.add("operations of a step", operations)
    return made


def _name(quantisation: str, side: int, count: int, recomputed: bool) -> str:
    kept = "bf16" if quantisation == "none" else quantisation
    return step_name(kept, side, count, "all" if recomputed else "none")


def gemm(setting: Setting) -> Row:
    n, dtype = setting.matrix, setting.torch_dtype
    a, b = (torch.randn(n, n, device=setting.device, dtype=dtype) for _ in range(2))
    took = gpu_base.seconds(setting, lambda: a @ b)
    return figures([2 * n**3 / t / 1e12 for t in took], "TFLOP/s")


def copy(setting: Setting) -> Row:
    source = torch.randn(setting.matrix, setting.matrix, device=setting.device)
    target = torch.empty_like(source)
    took = gpu_base.seconds(setting, lambda: target.copy_(source))
    return figures([2 * source.nbytes / t / 1e9 for t in took], "GB/s")


def attention(setting: Setting, *, tokens: int, backend: str) -> Row:
    heads, width = setting.size.heads, setting.size.width // setting.size.heads
    shape = (1, heads, tokens, width)
    q, k, v = (
        torch.randn(shape, device=setting.device, dtype=setting.torch_dtype, requires_grad=True)
        for _ in range(3)
    )
    usual = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    chosen = usual if backend == "default" or setting.dry else [BACKENDS[backend]]

    def work() -> None:
        with sdpa_kernel(chosen):
            scaled_dot_product_attention(q, k, v).sum().backward()

    took = gpu_base.seconds(setting, work)
    flops = 3.5 * 4 * tokens**2 * heads * width
    return figures([flops / t / 1e12 for t in took], "TFLOP/s", of="forward and backward")


def step(
    setting: Setting,
    *,
    side: int,
    count: int = 1,
    recomputed: bool,
    quantisation: str = "none",
    offloaded: int = 0,
    compiled: bool = False,
) -> Row:
    """Seconds of a step as it is trained, and its memory beside the estimate."""
    gpu_base.fresh(setting)
    kept = gpu_base.choice(
        setting,
        quantisation=quantisation,
        checkpointed=setting.blocks if recomputed else 0,
        offloaded=offloaded,
    )
    family = gpu_base.family(setting, kept)
    parameters = gpu_base.lora(setting, family)
    family.checkpoint_gradients(kept.checkpointed)
    if compiled:
        gpu_base.compiled(setting, family)
    spec, data = gpu_base.spec(setting), gpu_base.batch(setting, side, count)
    optimizer = make_optimizer(spec, parameters)

    def work() -> None:
        step_loss(family, data, spec, 0).backward()
        torch.nn.utils.clip_grad_norm_(parameters, spec.clip_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    took = gpu_base.seconds(setting, work)
    host, used = gpu_base.host_seconds(setting, work), gpu_base.memory(setting)
    job = Job(side, setting.text_length, count, setting.rank)
    found = estimate.estimate(setting.size, job, kept, gpu=True)
    predicted = (found.base + found.adapter + found.step) * estimate.SLACK
    flops = timing.step_flops(setting.size, job, kept)
    beside = {
        "host_seconds": round(host, 4),
        "tflops": round(flops / min(took) / 1e12, 1),
        "predicted_gb": round(predicted / GIB, 2),
    } | {name: round(value / GIB, 2) for name, value in used.items()}
    ok, against = True, ""
    if used:
        ok, against = memory_held(predicted, used["max_reserved"])
    return figures(took, "s", ok=ok, against=against, **beside)


class _Counter(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operations = self.copies = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.operations += 1
        self.copies += "copy" in str(function)
        return function(*args, **(kwargs or {}))


def operations(setting: Setting) -> Row:
    """Of a step: how many, and how many of them copy."""
    gpu_base.fresh(setting)
    family = gpu_base.family(setting, gpu_base.choice(setting))
    parameters = gpu_base.lora(setting, family)
    data, spec = gpu_base.batch(setting, setting.sides[0]), gpu_base.spec(setting)
    optimizer = make_optimizer(spec, parameters)
    with _Counter() as counter:
        step_loss(family, data, spec, 0).backward()
        torch.nn.utils.clip_grad_norm_(parameters, spec.clip_norm)
        optimizer.step()
    with lora_training.removed_after(family):
        pass
    return figures(
        [counter.operations],
        "operations",
        against=f"{KERNELS} kernels traced without a card",
        copies=counter.copies,
    )
