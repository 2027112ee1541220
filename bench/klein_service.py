"""FLUX.2 [klein] in one service on a card of 12 GB of which others hold 1.5 GiB, beside 32 GB of main
memory: base-4B trains at 768 px, then 4B draws at 1024 px.

    python -m bench.klein_service [--save]

What is allocated on the card is replayed by the code that trains and draws, with networks of the
real size, on tensors that have sizes but no memory behind them; how the base is kept is what the
plan says for that machine. The text encoder is left out, for there it works on the CPU.
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from bench import machine, tables
from fluxbooth.hardware import GIB, Room
from fluxbooth.lora import training as lora_training
from fluxbooth.lora.inference import Adapter, apply_loras
from fluxbooth.lora.layers import Layer, LowRank
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice, Plan
from fluxbooth.models import planner, registry
from fluxbooth.models.flux2.bases import UNDISTILLED
from fluxbooth.models.flux2.family import Flux2
from fluxbooth.models.flux2.size import KLEIN_4B
from fluxbooth.specs import TrainSpec
from fluxbooth.training import flow
from tests.support.meter import Meter, without_memory

ROOM = Room(10.5 * GIB, 29 * GIB)  # 3 GB of main memory are the system's and other programs'
TRAINED_AT, DRAWN_AT, RANK = 768, 1024, 16
MOST = 10 * GIB
Report = Callable[[str, float], None]


def plans() -> tuple[Plan, estimate.Estimate]:
    """Of the training and of a picture, with what is settled when the base comes into memory."""
    spec = TrainSpec(class_name="man", base="flux2-klein", resolutions=(TRAINED_AT,), rank=RANK)
    choice = planner.resident(spec, ROOM)
    job = planner.job(registry.resolve(spec, 1), resident=True)
    settled = {field: getattr(choice, field) for field in planner.SETTLED}
    training = estimate.choose("flux2-klein", KLEIN_4B, job, ROOM, **settled)
    return training, estimate.estimate_generation(KLEIN_4B, DRAWN_AT, job.text_length, choice)


def tensors_alone(told: estimate.Estimate) -> float:
    """Of a predicted peak, what is allocated: without CUDA's own and the allocator's holes."""
    return (told.device - estimate.CONTEXT) / estimate.SLACK


def replayed(choice: Choice, report: Report) -> dict[str, float]:
    """Bytes on the card at the peak of each stage."""
    mode, peaks = FakeTensorMode(allow_non_fake_inputs=True), dict[str, float]()
    autoencoder = _on_meta(AutoencoderKLFlux2)
    _make_fake(autoencoder, mode)
    trained, drawn = (_family(autoencoder, choice, distilled=which) for which in (False, True))
    # before its weights are fake, which peft cannot move
    lora_training.add(trained, RANK, 0)
    with mode, Meter() as meter:

        @contextmanager
        def stage(name: str) -> Iterator[None]:
            meter.reset_peak()
            yield
            peaks[name] = meter.peak
            report(name, meter.peak)

        meter.count([*autoencoder.parameters(), *autoencoder.buffers()])
        _make_fake(trained.network, mode)
        meter.count(trained.network.parameters())
        _train(trained, choice, stage)
        del trained
        gc.collect()
        with stage("one network has left, the other is yet to come"):
            pass
        _make_fake(drawn.network, mode)
        meter.count(drawn.network.parameters())
        _draw(drawn, stage)
    return peaks


def _train(family: Flux2, choice: Choice, stage: Any) -> None:
    side, tokens = (TRAINED_AT, TRAINED_AT), family.image_tokens(TRAINED_AT, TRAINED_AT)
    with stage(f"a photo is encoded at {TRAINED_AT} px"):
        z = family.encode_image(torch.zeros(1, 3, *side, dtype=family.dtype))
    assert z.shape == (1, tokens, 128)
    told = _told()
    parameters = [p for p in family.network.parameters() if p.requires_grad]
    family.checkpoint_gradients(choice.checkpointed)
    optimizer = torch.optim.AdamW(parameters, foreach=False)
    with stage(f"base-4B trains at {TRAINED_AT} px"):
        for _ in range(2):
            velocity = family.velocity(z, torch.full((1,), 0.5), told, 1.0, side)
            flow.velocity_loss(velocity, z, z).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def _draw(family: Flux2, stage: Any) -> None:
    side, told = (DRAWN_AT, DRAWN_AT), _told()
    z = torch.zeros(1, family.image_tokens(*side), 128, dtype=family.dtype)
    layers = {
        name: Layer(
            LowRank(
                torch.zeros(RANK, layer.in_features, dtype=family.dtype),
                torch.zeros(layer.out_features, RANK, dtype=family.dtype),
            )
        )
        for name, layer in family.network.named_modules()
        if name in set(family.adapter_targets())
    }
    adapter = Adapter(cast(Any, None), layers, "")
    with apply_loras(family, [(adapter, 1.0)]), stage(f"4B with a LoRA draws at {DRAWN_AT} px"):
        for _ in range(family.row.steps):
            z = z + family.velocity(z, torch.full((1,), 0.5), told, 1.0, side)
    with stage(f"the picture is decoded at {DRAWN_AT} px"):
        family.decode_image(z, side)


def _family(autoencoder: Any, choice: Choice, *, distilled: bool) -> Flux2:
    network: Any = _on_meta(
        lambda: Flux2Transformer2DModel(
            num_layers=KLEIN_4B.num_layers,
            num_single_layers=KLEIN_4B.num_single_layers,
            attention_head_dim=KLEIN_4B.width // KLEIN_4B.heads,
            num_attention_heads=KLEIN_4B.heads,
            joint_attention_dim=KLEIN_4B.joint_attention_dim,
            in_channels=KLEIN_4B.in_channels,
            guidance_embeds=False,
        )
    )
    nobody: Any = None  # neither text encoder nor tokenizer
    scheduler = FlowMatchEulerDiscreteScheduler()
    pipeline = Flux2KleinPipeline(
        scheduler, autoencoder, nobody, nobody, network, is_distilled=distilled
    )
    row = registry.BASES["flux2-klein"]
    row = row if distilled else replace(row.to_train, **UNDISTILLED)
    return Flux2(row, pipeline, torch.bfloat16, choice)


def _on_meta(make: Callable[[], nn.Module]) -> Any:
    """A model in bfloat16 without weights."""
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("meta"):
        made = make()
    torch.set_default_dtype(torch.float32)
    return made.eval().requires_grad_(False)


def _make_fake(model: nn.Module, mode: FakeTensorMode) -> None:
    """Gives it weights that have sizes alone."""
    without_memory(model, mode)
    for module in model.modules():
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                with mode:
                    module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)


def _told() -> dict[str, torch.Tensor]:
    return {"states": torch.zeros(1, 512, KLEIN_4B.joint_attention_dim, dtype=torch.bfloat16)}


def table(peaks: dict[str, float], training: Plan, drawing: estimate.Estimate) -> dict[str, Any]:
    rows = [[name, round(peak / GIB, 2)] for name, peak in peaks.items()]
    rows += [
        ["predicted, training", round(tensors_alone(training.estimate) / GIB, 2)],
        ["predicted, drawing", round(tensors_alone(drawing) / GIB, 2)],
        ["predicted with CUDA's own and holes", round(training.estimate.device / GIB, 2)],
        ["main memory, predicted", round(training.estimate.main / GIB, 2)],
    ]
    return {
        "machine": machine.described(1),
        "by": "python -m bench.klein_service --save",
        "columns": ["stage", "GiB on the card"],
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.klein_service", description=__doc__)
    parser.add_argument("--save", action="store_true", help="keep the figures in bench/results")
    options = parser.parse_args()
    training, drawing = plans()
    print(training.why, flush=True)
    if training.choice.quantisation != "none":
        parser.error("the replay knows no quantised base: give it a larger ROOM")
    peaks = replayed(
        training.choice,
        lambda name, peak: print(f"{name:42}{peak / GIB:6.2f} GiB", flush=True),
    )
    assert max(peaks.values()) <= MOST
    if options.save:
        kept = tables.load("memory") | {"klein-service": table(peaks, training, drawing)}
        tables.save("memory", kept)
        tables.write()


if __name__ == "__main__":
    main()
