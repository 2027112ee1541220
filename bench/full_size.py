"""FLUX.1-dev's whole network, 11.9 billion random weights, on a machine of 24 GB without a GPU: one
training step, one denoising step.

    MALLOC_MMAP_THRESHOLD_=1000000 python -m bench.full_size [--quantisation nf4|int8] [--json FILE]

The weights are made one by one, and each is quantised as it arrives by the code that loads the real
ones, so there is never a second copy. They say nothing, so neither does the loss: what is shown is
that everything runs at its real size, in how much memory and time. The variable has glibc give back
what is freed; without it the process holds 2 GB more.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch
from accelerate import init_empty_weights
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from torch import Tensor, nn

from fluxbooth.evaluation import provenance
from fluxbooth.hardware import GIB
from fluxbooth.lora import training as lora_training
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice, Job, Quantisation
from fluxbooth.models import registry
from fluxbooth.models.family import Conditioning, Family
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.models.flux1.size import FLUX1, Flux1Shape
from fluxbooth.specs import TrainSpec
from fluxbooth.training import flow
from fluxbooth.training.dataset import Batch
from fluxbooth.training.loop import peak_rss_mb, step_loss
from fluxbooth.training.optimizers import make_optimizer

Result = TypeVar("Result")
DEVIATION = 0.02  # of the weights: activations neither vanish nor overflow over 57 blocks


@dataclass(frozen=True)
class Phase:
    seconds: float
    cpu_seconds: float  # of all threads: what the work takes, whatever else runs on the machine
    resident_gb: float  # at its end
    peak_gb: float  # up to its end


def network(size: Flux1Shape) -> FluxTransformer2DModel:
    """Without weights."""
    head = size.width // size.heads
    with init_empty_weights():
        made = FluxTransformer2DModel(
            in_channels=size.in_channels,
            num_layers=size.num_layers,
            num_single_layers=size.num_single_layers,
            attention_head_dim=head,
            num_attention_heads=size.heads,
            joint_attention_dim=size.joint_attention_dim,
            pooled_projection_dim=size.pooled_projection_dim,
            guidance_embeds=size.guidance_embeds,
            axes_dims_rope=(head // 8, head * 7 // 16, head * 7 // 16),
        )
    return made.eval()


def weights(of: nn.Module, report: Callable[[str], None]) -> Iterator[tuple[str, Tensor]]:
    """Random weights one by one, float32; norms scale by one, biases are zero."""
    block = ""
    # which change while they arrive
    for number, (name, parameter) in enumerate(list(of.named_parameters())):
        here = ".".join(name.split(".")[:2])
        if here != block:
            block = here
            report(f"{block}, {resident():.1f} GB resident")
        if name.endswith("bias"):
            yield name, torch.zeros(parameter.shape)
        elif parameter.ndim == 1:
            yield name, torch.ones(parameter.shape)
        else:
            yield (
                name,
                torch.randn(parameter.shape, generator=flow.generator(0, number)).mul_(DEVIATION),
            )


def measure(
    size: Flux1Shape,
    quantisation: Quantisation,
    side: int,
    text_length: int,
    rank: int,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Builds the network, trains it for a step and denoises for one; seconds and memory of each.

    Raises AssertionError if a LoRA weight was left where it began, or anything is not finite.
    """
    choice = Choice("float32", quantisation, len(size.blocks), "leave", stored="bfloat16")
    spec = registry.resolve(
        TrainSpec(
            class_name="man",
            base="flux-dev",
            rank=rank,
            resolutions=(side,),
            text_length=text_length,
        ),
        10,
    )
    family = without_weights(size, choice, report)
    told = {
        "states": torch.randn(
            1, text_length, size.joint_attention_dim, generator=flow.generator(1)
        ),
        "pooled": torch.randn(1, size.pooled_projection_dim, generator=flow.generator(2)),
    }
    z = torch.randn(
        1, family.image_tokens(side, side), size.in_channels, generator=flow.generator(3)
    )
    _, building = timed(family.load_network)
    parameters = lora_training.add(family, rank, seed=0)
    family.checkpoint_gradients(len(size.blocks))
    loss, training = timed(
        lambda: train(family, Batch(z, told, (side, side), (0,)), spec, parameters, report)
    )
    learnt = {
        name: value
        for name, value in lora_training.tensors(family).items()
        if name.endswith("lora_B.weight")
    }
    assert math.isfinite(loss) and all(
        value.isfinite().all() and value.any() for value in learnt.values()
    )
    latents, denoising = timed(lambda: denoise(family, told, side))
    assert latents.isfinite().all()
    return {
        "parameters": size.transformer,
        "lora_parameters": sum(p.numel() for p in parameters),
        "lora_layers": len(learnt),
        "quantisation": quantisation,
        "side": side,
        "text_tokens": text_length,
        "loss": loss,
        "phases": {
            "building": asdict(building),
            "training step": asdict(training),
            "denoising step": asdict(denoising),
        },
        "predicted_gb": round(predicted(size, Job(side, text_length, 1, rank), choice) / GIB, 2),
    }


def without_weights(size: Flux1Shape, choice: Choice, report: Callable[[str], None]) -> Flux1:
    """The family whose network gets random weights once it is loaded."""
    empty = network(size)
    pipeline = FluxPipeline(
        FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        None,
        None,
        None,
        None,
        None,
        empty,
    )
    pipeline.set_progress_bar_config(disable=True)

    def fill(put: Callable[[str, Tensor], None]) -> None:
        for name, value in weights(empty, report):
            put(name, value)

    return Flux1(registry.find("flux-dev"), pipeline, torch.float32, choice, fill)


def train(
    family: Family,
    batch: Batch,
    spec: TrainSpec,
    parameters: list[nn.Parameter],
    report: Callable[[str], None],
) -> float:
    """One step as `fluxbooth.train` makes it; the loss."""
    optimizer = make_optimizer(spec, parameters)
    loss = step_loss(family, batch, spec, 0)
    report(f"forward, {resident():.1f} GB resident")
    loss.backward()
    report(f"backward, {resident():.1f} GB resident")
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


@torch.no_grad()
def denoise(family: Flux1, told: Conditioning, side: int) -> Tensor:
    """The latents after one step of one."""
    drawn = family.pipeline()(
        width=side,
        height=side,
        num_inference_steps=1,
        generator=flow.generator(4),
        output_type="latent",
        **family.pipeline_arguments(told, 3.5),
    ).images
    assert isinstance(drawn, Tensor)
    return drawn


def predicted(size: Flux1Shape, job: Job, choice: Choice) -> float:
    """The estimate of the training step's peak; text encoders and autoencoder are not here."""
    made = estimate.estimate(size, job, choice, gpu=False)
    return (made.base + made.adapter + made.step) * estimate.SLACK + estimate.PROCESS


def timed(work: Callable[[], Result]) -> tuple[Result, Phase]:
    began, process = time.monotonic(), time.process_time()
    result = work()
    return result, Phase(
        round(time.monotonic() - began, 1),
        round(time.process_time() - process, 1),
        round(resident(), 2),
        round(peak_rss_mb() / 1024, 2),
    )


def resident() -> float:
    """GB of this process in memory now."""
    return psutil.Process().memory_info().rss / GIB


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.full_size",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--quantisation",
        choices=("nf4", "int8", "fp8"),
        default="nf4",
        help="of the base (default: nf4)",
    )
    parser.add_argument(
        "--side", type=int, default=256, help="pixels of the square picture (default: 256)"
    )
    parser.add_argument("--text-length", type=int, default=512, help="text tokens (default: 512)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    options = parser.parse_args()
    began = time.monotonic()

    def report(text: str) -> None:
        print(f"{time.monotonic() - began:7.0f} s  {text}", flush=True)

    found = (
        measure(FLUX1, options.quantisation, options.side, options.text_length, 16, report)
        | provenance.facts()
    )
    print(
        f"{found['parameters']:,} parameters in {found['quantisation']}, LoRA {found['lora_parameters']:,} on {found['lora_layers']} layers"
    )
    for name, phase in found["phases"].items():
        print(
            f"{name:16}"
            + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in phase.items())
        )
    print(f"peak predicted for the training step: {found['predicted_gb']} GB")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
