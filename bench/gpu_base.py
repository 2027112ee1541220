"""What the rows of `bench.gpu` work on: FLUX.1-dev's network with random weights that are made
where they will be, timing by the card's own clock, and the form of a row."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline
from torch import Tensor, nn

from bench import full_size
from fluxbooth import hardware
from fluxbooth.evaluation.rows import Row
from fluxbooth.hardware import Dtype
from fluxbooth.lora import training as lora_training
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.models.family import Conditioning
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.models.flux1.size import FLUX1, Flux1Shape
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec
from fluxbooth.training import flow
from fluxbooth.training.dataset import Batch

DEVIATION = full_size.DEVIATION
KERNELS = 10_601  # of a step at 512 px, as traced without a card
SMALL = Flux1Shape(1, 1, 128, 1, 64, 32, True, 64, 10_000, 100_000, 128)


@dataclass(frozen=True)
class Setting:
    """How large everything is, and where."""

    device: torch.device
    size: Flux1Shape = FLUX1
    dtype: Dtype = "bfloat16"
    sides: tuple[int, ...] = (512, 768, 1024)
    batches: tuple[int, ...] = (1, 4)
    text_length: int = 512
    rank: int = 16
    warm: int = 5
    counted: int = 20
    matrix: int = 8192
    tokens: tuple[int, ...] = (1536, 2816, 4608)
    offloaded: tuple[int, ...] = (0, 20, 57)
    caps: tuple[float, ...] = (24, 48, 80)  # GB
    mixed_steps: int = 30
    denoising_steps: int = 28
    loras: int = 50
    backend: str = "inductor"  # of the compiler
    quantisations: tuple[str, ...] = ("int8", "fp8", "nf4")

    @property
    def dry(self) -> bool:
        return self.size is not FLUX1

    @property
    def blocks(self) -> int:
        return len(self.size.blocks)

    @property
    def torch_dtype(self) -> torch.dtype:
        return getattr(torch, self.dtype)


DRY = Setting(
    torch.device("cpu"),
    SMALL,
    "float32",
    sides=(64, 96, 128),
    batches=(1, 2),
    text_length=16,
    rank=2,
    warm=1,
    counted=2,
    matrix=128,
    tokens=(64,),
    offloaded=(0, 1, 2),
    caps=(24,),
    mixed_steps=3,
    denoising_steps=2,
    loras=3,
    backend="aot_eager",
)


@dataclass
class Part:
    """A third of the program: its rows by name, in the order in which they are measured."""

    name: str
    rows: dict[str, Callable[[Setting], Row]] = field(default_factory=dict)

    def add(self, name: str, work: Callable[[Setting], Row]) -> None:
        assert name not in self.rows
        self.rows[name] = work


def seconds(setting: Setting, work: Callable[[], object]) -> list[float]:
    """Of each counted call, by the card's events; on a CPU by the clock."""
    for _ in range(setting.warm):
        work()
    if setting.device.type != "cuda":
        found = []
        for _ in range(setting.counted):
            began = time.perf_counter()
            work()
            found.append(time.perf_counter() - began)
        return found
    pairs = []
    for _ in range(setting.counted):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        work()
        end.record()
        pairs.append((begin, end))
    torch.cuda.synchronize()
    return [begin.elapsed_time(end) / 1000 for begin, end in pairs]


def host_seconds(setting: Setting, work: Callable[[], object]) -> float:
    """That the processor takes to give the card its orders."""
    began = time.perf_counter()
    work()
    took = time.perf_counter() - began
    synchronize(setting)
    return took


def synchronize(setting: Setting) -> None:
    if setting.device.type == "cuda":
        torch.cuda.synchronize()


def memory(setting: Setting) -> dict[str, int]:
    """The most bytes that tensors had, that torch held, and what the driver says is taken."""
    if setting.device.type != "cuda":
        return {}
    free, total = torch.cuda.mem_get_info()
    return {
        "max_allocated": torch.cuda.max_memory_allocated(),
        "max_reserved": torch.cuda.max_memory_reserved(),
        "driver": total - free,
    }


def fresh(setting: Setting) -> None:
    """As if nothing had been done."""
    gc.collect()
    hardware.release_memory()
    torch.compiler.reset()
    if setting.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def weights(of: nn.Module, device: torch.device) -> Iterator[tuple[str, Tensor]]:
    """Random ones, one by one, made on the device: of a seed the same for every way to keep them."""
    for number, (name, parameter) in enumerate(list(of.named_parameters())):
        value = torch.empty(parameter.shape, device=device)
        if name.endswith("bias"):
            value.zero_()
        elif parameter.ndim == 1:
            value.fill_(1.0)
        else:
            draw = torch.Generator(device).manual_seed(number)
            value.normal_(0, DEVIATION, generator=draw)
        yield name, value


def base(setting: Setting) -> Base:
    return registry.find("flux-dev")


def family(setting: Setting, choice: Choice, *, decoder: bool = False) -> Flux1:
    """The base in memory, kept as the choice says; with an autoencoder for pictures."""
    empty = full_size.network(setting.size)
    autoencoder = None
    if decoder:
        channels = (32, 32) if setting.dry else (128, 256, 512, 512)
        with torch.device(setting.device):
            autoencoder = AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * len(channels),
                up_block_types=("UpDecoderBlock2D",) * len(channels),
                block_out_channels=channels,
                layers_per_block=2,
                latent_channels=setting.size.in_channels // 4,
                scaling_factor=0.3611,
                shift_factor=0.1159,
                use_quant_conv=False,
                use_post_quant_conv=False,
            ).to(setting.torch_dtype)
    pipeline = FluxPipeline(
        FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        autoencoder,  # pyright: ignore[reportArgumentType]
        None,  # pyright: ignore[reportArgumentType]
        None,  # pyright: ignore[reportArgumentType]
        None,  # pyright: ignore[reportArgumentType]
        None,  # pyright: ignore[reportArgumentType]
        empty,
    )
    if setting.dry:  # whose autoencoder is shallower
        pipeline.vae_scale_factor = 8

    def fill(put: Callable[[str, Tensor], None]) -> None:
        for name, value in weights(empty, setting.device):
            put(name, value)

    made = Flux1(base(setting), pipeline, getattr(torch, choice.dtype), choice, fill)
    made.device = setting.device
    made.load_network()
    return made


def choice(setting: Setting, **given: Any) -> Choice:
    # there are no text encoders here
    return Choice(setting.dtype, **{"encoders": "leave", **given})


def spec(setting: Setting, **given: Any) -> ResolvedTrainSpec:
    asked = {
        "class_name": "man",
        "base": "flux-dev",
        "rank": setting.rank,
        "text_length": setting.text_length,
        **given,
    }
    return registry.resolve(TrainSpec.model_validate(asked), 10)


def told(setting: Setting, count: int = 1) -> Conditioning:
    """What text encoders might say, in main memory."""
    draw, dtype, size = flow.generator(1), setting.torch_dtype, setting.size
    states = torch.randn(
        count, setting.text_length, size.joint_attention_dim, generator=draw, dtype=dtype
    )
    pooled = torch.randn(count, size.pooled_projection_dim, generator=draw, dtype=dtype)
    return {"states": states, "pooled": pooled}


def batch(setting: Setting, side: int, count: int = 1) -> Batch:
    """Latents of that size, in main memory as a dataset has them."""
    tokens = (side // 16) ** 2
    z = torch.randn(count, tokens, setting.size.in_channels, generator=flow.generator(3, side))
    indices = tuple(range(count))
    return Batch(z.to(setting.torch_dtype), told(setting, count), (side, side), indices)


def compiled(setting: Setting, of: Flux1) -> None:
    """Each block by itself: those of a kind share what is compiled."""
    for block in of._blocks:
        block.compile(backend=setting.backend)


def lora(setting: Setting, of: Flux1) -> list[nn.Parameter]:
    return lora_training.add(of, setting.rank, 0)
