"""Our arm: `python -m bench.our_step SETTINGS`, a training by `fluxbooth.train` with the
settings that both arms have."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline
from torch import Tensor, nn

from bench import gate
from fluxbooth import TrainSpec, train
from fluxbooth.lora import training as lora_training
from fluxbooth.models import registry
from fluxbooth.models.flux1.family import Flux1
from fluxbooth.training import flow


def main() -> None:
    settings = json.loads(sys.argv[1])
    pass_on = gate.Gate()
    module: Any = sys.modules["fluxbooth.training.loop"]
    run: Any = sys.modules["fluxbooth.training.run"]
    step_loss = module.step_loss
    make_optimizer = run.make_optimizer
    sample_sigma = flow.sample_sigma
    add = lora_training.add

    def told_loss(*arguments: Any) -> Tensor:
        loss = step_loss(*arguments)
        pass_on.losses.append(loss.item())  # diffusers' script reads it at every step, too
        return loss

    def their_optimizer(*arguments: Any) -> Any:
        optimizer = make_optimizer(*arguments)
        for group in optimizer.param_groups:
            group["betas"] = (0.9, 0.999)
        return optimizer

    def started(family: Any, rank: int, seed: int) -> list[nn.Parameter]:
        parameters = add(family, rank, seed)
        gate.start_lora(family.network.named_parameters())
        # as the script has them; ours stay in float32, which lowers the loss sooner (row "curve")
        if not settings["as_shipped"]:
            for parameter in parameters:
                parameter.data = parameter.data.to(getattr(torch, settings["dtype"]))
        return parameters

    module.step_loss, run.make_optimizer, lora_training.add = told_loss, their_optimizer, started
    module.learning_rate = lambda spec, step: spec.learning_rate
    flow.sample_sigma = lambda *arguments: gate.thousandths(sample_sigma(*arguments))
    family = None
    if not settings["as_shipped"]:
        dtype = getattr(torch, settings["dtype"])
        family = Flux1(
            registry.find(settings["base"]),
            FluxPipeline.from_pretrained(settings["base"], dtype=dtype),
            dtype,
        )
    spec = TrainSpec(
        class_name="man",
        base=settings["base"],
        steps=100_000,
        rank=settings["rank"],
        learning_rate=1e-4,
        batch_size=settings["batch"],
        resolutions=(settings["side"],),
        text_length=settings["text"],
        dtype=settings["dtype"],
        checkpoint_every=100_000,
        seed=gate.SEED,
        gradient_checkpointing="all" if settings["checkpointing"] else "none",
    )
    train(Path(settings["photos"]), spec, Path(settings["out"]), family=family)


if __name__ == "__main__":
    main()
