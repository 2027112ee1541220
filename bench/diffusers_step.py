"""The peer's arm: `python -m bench.diffusers_step SCRIPT SETTINGS` runs diffusers'
train_dreambooth_lora_flux.py as it is.

Nothing in it is changed but what makes its losses comparable: where the LoRA starts, the noise, the
noise levels, and the mean of the autoencoder's posterior instead of a sample.
"""

from __future__ import annotations

import json
import runpy
import sys
from typing import Any

import torch
from torch import Tensor, nn

from bench import gate
from bench.diffusers_run import without_cuda


def main() -> None:
    script, settings = sys.argv[1], json.loads(sys.argv[2])
    without_cuda()
    pass_on = gate.Gate()
    from accelerate import Accelerator
    from diffusers import FluxPipeline, FluxTransformer2DModel, training_utils
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    backward = Accelerator.backward
    add_adapter = FluxTransformer2DModel.add_adapter
    randn_like = torch.randn_like
    steps = iter(range(10**9))
    levels: list[Tensor] = []

    def told_backward(self: Any, loss: Tensor, **named: Any) -> None:
        pass_on.losses.append(loss.item())
        backward(self, loss, **named)

    def started(self: nn.Module, *arguments: Any, **named: Any) -> None:
        add_adapter(self, *arguments, **named)
        gate.start_lora(self.named_parameters())

    def noise(like: Tensor, **named: Any) -> Tensor:
        if like.ndim != 4 or like.shape[1] != 16:
            return randn_like(like, **named)
        batch, _, height, width = like.shape
        eps, sigma = gate.draws((batch, height * width // 4, 64), next(steps))
        levels.append(sigma)
        return FluxPipeline._unpack_latents(eps, height * 8, width * 8, 8).to(like)

    def chosen(**_: Any) -> Tensor:
        # the script takes entry u x 1000 of 1000, 999, ..., 1
        return (1000 - 1000 * levels.pop()).round().add(0.5) / 1000

    Accelerator.backward = told_backward
    FluxTransformer2DModel.add_adapter = started
    torch.randn_like = noise
    training_utils.compute_density_for_timestep_sampling = chosen
    DiagonalGaussianDistribution.sample = DiagonalGaussianDistribution.mode
    with torch.device("meta"):
        network = FluxTransformer2DModel.from_config(
            FluxTransformer2DModel.load_config(settings["base"], subfolder="transformer")
        )
    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and "transformer_blocks." in name
    ]
    precision = {"float32": "no", "bfloat16": "bf16"}[settings["dtype"]]
    sys.argv = [
        script,
        "--pretrained_model_name_or_path",
        settings["base"],
        "--instance_data_dir",
        settings["photos"],
        "--instance_prompt",
        "ohwx man",
        "--resolution",
        str(settings["side"]),
        "--center_crop",
        "--train_batch_size",
        str(settings["batch"]),
        "--repeats",
        str(settings["batch"]),
        "--max_train_steps",
        "100000",
        "--rank",
        str(settings["rank"]),
        "--lora_alpha",
        str(settings["rank"]),
        "--guidance_scale",
        "1",
        "--max_sequence_length",
        str(settings["text"]),
        "--lora_layers",
        ",".join(layers),
        "--cache_latents",
        "--learning_rate",
        "1e-4",
        "--lr_scheduler",
        "constant",
        "--mixed_precision",
        precision,
        "--seed",
        "0",
        "--checkpointing_steps",
        "1000000",
        "--output_dir",
        settings["out"],
        *(["--gradient_checkpointing"] if settings["checkpointing"] else []),
    ]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
