"""FLUX.2 [klein] 4B's whole network, 3.9 billion random weights in bfloat16, on a machine of 24 GB
without a GPU: one training step and one picture of four steps, both of 512 pixels.

    MALLOC_MMAP_THRESHOLD_=1000000 python -m bench.klein_full_size [--side 512] [--json FILE]

As `bench.full_size` does it for FLUX.1-dev: no weight is written to disk, none is there twice. The
autoencoder is there, too, the text encoder is not: what it would say is drawn at random.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from PIL import Image

from bench.full_size import resident, timed, train, weights
from fluxbooth.evaluation import provenance
from fluxbooth.hardware import GIB
from fluxbooth.lora import training as lora_training
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice, Job
from fluxbooth.models import registry
from fluxbooth.models.family import Conditioning
from fluxbooth.models.flux2.family import Flux2
from fluxbooth.models.flux2.size import KLEIN_4B
from fluxbooth.specs import TrainSpec
from fluxbooth.training import flow
from fluxbooth.training.dataset import Batch

SCHEDULER = {"shift": 3.0, "use_dynamic_shifting": True}
STEPS = 4
Report = Callable[[str], None]


def without_weights(choice: Choice, report: Report) -> Flux2:
    """The family whose network gets random weights once it is loaded."""
    size = KLEIN_4B
    head = size.width // size.heads
    with init_empty_weights():
        empty = Flux2Transformer2DModel(
            in_channels=size.in_channels,
            num_layers=size.num_layers,
            num_single_layers=size.num_single_layers,
            attention_head_dim=head,
            num_attention_heads=size.heads,
            joint_attention_dim=size.joint_attention_dim,
            guidance_embeds=False,
            axes_dims_rope=(head // 4,) * 4,
        ).eval()
    pipeline = Flux2KleinPipeline(
        FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        AutoencoderKLFlux2().eval(),
        None,
        None,
        empty,
        is_distilled=True,
    )

    def fill(put: Callable[[str, torch.Tensor], None]) -> None:
        for name, value in weights(empty, report):
            put(name, value)

    return Flux2(registry.find("flux2-klein"), pipeline, torch.float32, choice, fill)


def measure(side: int, text_length: int, rank: int, report: Report) -> dict[str, Any]:
    """Builds the network, trains it for a step and draws a picture; seconds and memory of each.

    Raises AssertionError if a LoRA weight was left where it began, or anything is not finite.
    """
    size = KLEIN_4B
    choice = Choice("float32", "none", len(size.blocks), "leave", stored="bfloat16")
    asked = TrainSpec(
        class_name="man",
        base="flux2-klein",
        rank=rank,
        resolutions=(side,),
        text_length=text_length,
    )
    family, spec = without_weights(choice, report), registry.resolve(asked, 10)
    states = torch.randn(1, text_length, size.joint_attention_dim, generator=flow.generator(1))
    tokens = family.image_tokens(side, side)
    z = torch.randn(1, tokens, size.in_channels, generator=flow.generator(3))
    told = {"states": states}
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
    assert math.isfinite(loss)
    assert all(value.isfinite().all() and value.any() for value in learnt.values())
    picture, drawing = timed(lambda: draw(family, told, side))
    assert picture.size == (side, side)
    return {
        "parameters": sum(p.numel() for p in family.network.parameters())
        - sum(p.numel() for p in parameters),
        "lora_parameters": sum(p.numel() for p in parameters),
        "lora_layers": len(learnt),
        "side": side,
        "text_tokens": text_length,
        "loss": loss,
        "phases": {
            "building": asdict(building),
            "training step": asdict(training),
            "picture": asdict(drawing),
        },
        "predicted_gb": round(estimated(side, text_length, rank, choice) / GIB, 2),
    }


@torch.no_grad()
def draw(family: Flux2, told: Conditioning, side: int) -> Image.Image:
    drawn: Any = family.pipeline()(
        width=side,
        height=side,
        num_inference_steps=STEPS,
        generator=flow.generator(4),
        **family.pipeline_arguments(told, 1.0),
    )
    return drawn.images[0]


def estimated(side: int, text_length: int, rank: int, choice: Choice) -> float:
    """The plan's peak of the training step, without the text encoder, which is not here."""
    made = estimate.estimate(KLEIN_4B, Job(side, text_length, 1, rank), choice, gpu=False)
    autoencoder = 4 * KLEIN_4B.autoencoder  # in float32, as it is kept until pictures are drawn
    parts = made.base + made.adapter + made.step + autoencoder
    return parts * estimate.SLACK + estimate.PROCESS


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.klein_full_size",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--side", type=int, default=512, help="pixels of the square picture (default: 512)"
    )
    parser.add_argument("--text-length", type=int, default=512, help="text tokens (default: 512)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers here")
    options = parser.parse_args()
    began = time.monotonic()

    def report(text: str) -> None:
        print(f"{time.monotonic() - began:7.0f} s  {text}", flush=True)

    found = measure(options.side, options.text_length, 16, report) | provenance.facts()
    print(
        f"{found['parameters']:,} parameters in bfloat16, LoRA {found['lora_parameters']:,} on "
        f"{found['lora_layers']} layers"
    )
    for name, phase in found["phases"].items():
        told = (f"{key.replace('_', ' ')} {value}" for key, value in phase.items())
        print(f"{name:16}{', '.join(told)}")
    print(f"peak predicted for the training step: {found['predicted_gb']} GB")
    print(f"resident at the end: {resident():.1f} GB")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
