"""Part C of `bench.gpu`: pictures, changes of LoRA, and the step of diffusers' script beside ours."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import TaylorSeerCacheConfig
from peft import LoraConfig
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import T5Config, T5EncoderModel

from bench import gpu_base
from bench.gpu_base import Part, Setting
from fluxbooth.evaluation.rows import Row, figures, short
from fluxbooth.files import save_tensors
from fluxbooth.generation.sampling import draw
from fluxbooth.generation.speedups import drawing
from fluxbooth.lora import training as lora_training
from fluxbooth.lora.inference import Branches, _read
from fluxbooth.models.family import moved
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.models.frozen_linear import waiting
from fluxbooth.training import flow
from fluxbooth.training.dataset import Batch
from fluxbooth.training.loop import step_loss
from fluxbooth.training.optimizers import make_optimizer

AGREE = 1e-3  # of the first losses of both steps
VARIANTS = (
    "eager", "cudnn attention", "first-block cache", "TaylorSeer", "compiled", "fp8, compiled",
)  # fmt: skip


def part(setting: Setting) -> Part:
    made = Part("C, pictures and peer")
    for variant in VARIANTS:
        made.add(f"a picture, {variant}", functools.partial(picture, variant=variant))
    made.add("a change of LoRA, ours", switch)
    for swapped in (False, True):
        name = "a change of LoRA, diffusers'" + (" hot swap" if swapped else "")
        made.add(name, functools.partial(their_switch, swapped=swapped))
    made.add("a change of LoRA, compiled: compilations", compilations)
    made.add("text encoder to the card and back", functools.partial(there_and_back, pinned=False))
    made.add(
        "text encoder to the card and back, one pinned piece",
        functools.partial(there_and_back, pinned=True),
    )
    made.add("four LoRAs in one product, of four products", together)
    made.add("a training step beside diffusers'", peer)
    return made


def _side(setting: Setting) -> int:
    return setting.sides[-1]


def _drawn(setting: Setting, family: Flux1, speed: Any = "exact") -> None:
    side = _side(setting)
    told = moved(gpu_base.told(setting), setting.device)
    with drawing(family, speed, (side, side)):
        draw(family, told, [1], (side, side), setting.denoising_steps, 3.5)


def picture(setting: Setting, *, variant: str) -> Row:
    """All of its steps and its decoding."""
    gpu_base.fresh(setting)
    quantisation: Any = "fp8" if "fp8" in variant else "none"
    kept = gpu_base.choice(setting, quantisation=quantisation)
    family = gpu_base.family(setting, kept, decoder=True)
    if "compiled" in variant:
        gpu_base.compiled(setting, family)
    cudnn = variant == "cudnn attention" and not setting.dry
    chosen = sdpa_kernel(SDPBackend.CUDNN_ATTENTION) if cudnn else contextlib.nullcontext()
    speed = "fast" if "cache" in variant else "exact"
    if variant == "TaylorSeer":
        family.network.enable_cache(TaylorSeerCacheConfig(cache_interval=4))
    few = gpu_base.Setting(setting.device, warm=1, counted=1 if setting.dry else 3)
    with chosen:
        took = gpu_base.seconds(few, lambda: _drawn(setting, family, speed))
    steps = setting.denoising_steps
    return figures(took, "s", against=f"{steps} steps at {_side(setting)} px")


def _lora_files(setting: Setting, family: Flux1, folder: Path, count: int) -> list[Path]:
    """Random ones, of two ranks by turns."""
    paths = []
    for number in range(count):
        rank = setting.rank * (1 + number % 2)
        with lora_training.removed_after(family):
            for parameter in lora_training.add(family, rank, number):
                made = torch.Generator().manual_seed(number)
                parameter.data.copy_(torch.randn(parameter.shape, generator=made) * 0.01)
            tensors = lora_training.tensors(family)
            paths.append(folder / f"{number}.safetensors")
            save_tensors(
                paths[-1],
                {name: value.to(setting.torch_dtype) for name, value in tensors.items()},
            )
    return paths


def _velocity(setting: Setting, family: Flux1) -> Tensor:
    data = gpu_base.batch(setting, setting.sides[0]).to(setting.device)
    sigma = torch.full((1,), 0.5, device=setting.device)
    with torch.no_grad():
        return family.velocity(data.z, sigma, data.conditioning, 3.5, data.size)


def switch(setting: Setting) -> Row:
    """What a forward pass takes longer with a LoRA that is in main memory and was not used
    before."""
    gpu_base.fresh(setting)
    family = gpu_base.family(setting, gpu_base.choice(setting))
    with tempfile.TemporaryDirectory() as folder:
        paths = _lora_files(setting, family, Path(folder), setting.loras)
        adapters = [
            _read(lora_training.check(path, family), family.stored, mapped=False) for path in paths
        ]
    _velocity(setting, family)
    took = []
    for adapter in adapters:
        gpu_base.synchronize(setting)
        began = time.perf_counter()
        with Branches(family, [(adapter, 1.0)]).applied():
            _velocity(setting, family)
        gpu_base.synchronize(setting)
        took.append(time.perf_counter() - began)
    began = time.perf_counter()
    _velocity(setting, family)
    gpu_base.synchronize(setting)
    without = time.perf_counter() - began
    return figures([t - without for t in took], "s", against="a forward pass without a LoRA")


def their_switch(setting: Setting, *, swapped: bool) -> Row:
    """What a forward pass takes longer with a LoRA that diffusers reads from its file: with the
    one before thrown away, or its weights put where those of the one before were."""
    gpu_base.fresh(setting)
    family = gpu_base.family(setting, gpu_base.choice(setting))
    pipeline, took = family._pipeline, []
    if swapped:
        pipeline.enable_lora_hotswap(target_rank=2 * setting.rank)
    with tempfile.TemporaryDirectory() as folder:
        paths = _lora_files(setting, family, Path(folder), setting.loras)
        _velocity(setting, family)
        for number, path in enumerate(paths):
            gpu_base.synchronize(setting)
            began = time.perf_counter()
            if number and not swapped:
                pipeline.unload_lora_weights()
            pipeline.load_lora_weights(path, adapter_name="one", hotswap=swapped and number > 0)
            _velocity(setting, family)
            gpu_base.synchronize(setting)
            took.append(time.perf_counter() - began)
        pipeline.unload_lora_weights()
    began = time.perf_counter()
    _velocity(setting, family)
    gpu_base.synchronize(setting)
    without = time.perf_counter() - began
    return figures([t - without for t in took], "s", against="a forward pass without a LoRA")


def compilations(setting: Setting) -> Row:
    """How many graphs are compiled while LoRAs of two ranks come and go."""
    gpu_base.fresh(setting)
    family = gpu_base.family(setting, gpu_base.choice(setting))
    with tempfile.TemporaryDirectory() as folder:
        paths = _lora_files(setting, family, Path(folder), 4)
        adapters = [
            _read(lora_training.check(path, family), family.stored, mapped=False) for path in paths
        ]
    gpu_base.compiled(setting, family)
    found = []
    for adapter in adapters:
        before = counters["stats"]["unique_graphs"]
        with Branches(family, [(adapter, 1.0)]).applied():
            _velocity(setting, family)
        found.append(counters["stats"]["unique_graphs"] - before)
    return figures(found, "graphs", against="each rank once", of=str(found))


def there_and_back(setting: Setting, *, pinned: bool) -> Row:
    xxl = T5Config(d_model=4096, d_ff=10240, num_layers=24, num_heads=64, d_kv=64)
    small = T5Config(d_model=64, d_ff=128, num_layers=1, num_heads=2, d_kv=32)
    with torch.device("meta"):
        encoder = T5EncoderModel(small if setting.dry else xxl)
    encoder = encoder.to(setting.torch_dtype).to_empty(device="cpu").requires_grad_(False)
    parameters = list(encoder.parameters())
    if pinned:
        for parameter, home in zip(parameters, waiting(parameters), strict=True):
            parameter.data = home.data

    def work() -> None:
        moved = [p.data.to(setting.device, non_blocking=True) for p in parameters]
        if not pinned:  # as a module's `to` brings it back; what is pinned is still there
            for parameter, there in zip(parameters, moved, strict=True):
                parameter.data.copy_(there)
        gpu_base.synchronize(setting)

    few = gpu_base.Setting(setting.device, warm=1, counted=3)
    whole = sum(p.nbytes for p in parameters)
    took = []
    for _ in range(few.warm + few.counted):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return figures(took[few.warm :], "s", against="", gigabytes=round(whole / 1e9, 2))


def together(setting: Setting) -> Row:
    """B A x of four LoRAs for four pictures as two products of batches, over one after another."""
    d, rank, tokens = setting.size.width, setting.rank, setting.tokens[-1]
    device, dtype = setting.device, setting.torch_dtype
    x = torch.randn(4, tokens, d, device=device, dtype=dtype)
    a = torch.randn(4, d, rank, device=device, dtype=dtype)
    b = torch.randn(4, rank, d, device=device, dtype=dtype)
    one = gpu_base.seconds(setting, lambda: torch.bmm(torch.bmm(x, a), b))
    each = gpu_base.seconds(setting, lambda: [x[i] @ a[i] @ b[i] for i in range(4)])
    return figures([t / u for t, u in zip(one, each, strict=True)], "of the time")


class _Theirs:
    """The step of diffusers' script: peft's branches in float32 under autocast."""

    def __init__(self, setting: Setting, family: Flux1) -> None:
        self.setting, self.network = setting, family.network
        self.network.requires_grad_(False)
        targets = family.adapter_targets()
        rank = setting.rank
        self.network.add_adapter(
            LoraConfig(
                r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets
            )
        )
        self.parameters = [p for p in self.network.parameters() if p.requires_grad]
        for parameter in self.parameters:
            parameter.data = parameter.data.float()
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-4
        )
        self.ids = family._ids_of(
            gpu_base.batch(setting, setting.sides[0]).z, (_first(setting),) * 2
        )

    def __call__(self, data: Batch, eps: Tensor, sigma: Tensor) -> Tensor:
        x = flow.interpolate(data.z, eps, sigma)
        states = data.conditioning["states"]
        half = self.setting.torch_dtype != torch.float32
        with torch.autocast(self.setting.device.type, self.setting.torch_dtype, enabled=half):
            told = self.network(
                hidden_states=x,
                timestep=sigma.to(x.dtype),
                guidance=x.new_full((len(x),), 1.0),
                encoder_hidden_states=states,
                pooled_projections=data.conditioning["pooled"],
                txt_ids=states.new_zeros(states.shape[1], 3),
                img_ids=self.ids.to(x.device),
                return_dict=False,
            )[0]
        loss = flow.velocity_loss(told, data.z, eps)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()


def _first(setting: Setting) -> int:
    return setting.sides[0]


@contextlib.contextmanager
def _our_step(setting: Setting, family: Flux1, data: Batch) -> Iterator[Any]:
    spec = gpu_base.spec(setting)
    with lora_training.removed_after(family):
        parameters = gpu_base.lora(setting, family)
        optimizer = make_optimizer(spec, parameters)

        def work() -> Tensor:
            loss = step_loss(family, data, spec, 0)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, spec.clip_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            return loss.detach()

        yield work


@contextlib.contextmanager
def _their_step(setting: Setting, family: Flux1, data: Batch) -> Iterator[Any]:
    spec = gpu_base.spec(setting)
    made = flow.generator(spec.seed, 3, 0)
    eps = torch.randn(data.z.shape, generator=made).to(data.z.dtype).to(setting.device)
    sigma = flow.sample_sigma(spec.sigma_law, len(data.z), made, family.mu(data.size))
    there, sigma = data.to(setting.device), sigma.to(setting.device)
    with lora_training.removed_after(family):
        theirs = _Theirs(setting, family)
        yield lambda: theirs(there, eps, sigma)


def peer(setting: Setting) -> Row:
    """By turns on one network, the same latents and noise: their seconds over ours."""
    gpu_base.fresh(setting)
    family = gpu_base.family(setting, gpu_base.choice(setting))
    data = gpu_base.batch(setting, _first(setting))
    took: dict[str, list[float]] = {"ours": [], "theirs": []}
    losses: dict[str, float] = {}
    for _ in range(2):
        for name, made in (("ours", _our_step), ("theirs", _their_step)):
            with made(setting, family, data) as work:
                losses.setdefault(name, work().item())
                took[name] += gpu_base.seconds(setting, work)
            gpu_base.fresh(setting)
    off = abs(losses["ours"] - losses["theirs"])
    return figures(
        [b / a for a, b in zip(took["ours"], took["theirs"], strict=True)],
        "theirs / ours",
        ok=off <= AGREE * max(1.0, abs(losses["theirs"])),
        against=f"first losses within 1e-3: {off:.1e}",
        ours=short(min(took["ours"])),
        theirs=short(min(took["theirs"])),
    )
