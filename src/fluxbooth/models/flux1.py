"""FLUX.1 (dev, krea, schnell, nano) over diffusers' components: MMDiT, T5 per token, CLIP pooled, 2 x 2 packed latents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.utils import logging as transformers_logging

from fluxbooth.errors import InputError
from fluxbooth.models import Base, companions
from fluxbooth.models.base import Conditioning

PIXELS_PER_TOKEN = 16  # 8x autoencoder, 2 x 2 packing


def load(row: Base, *, training: bool, dtype: str) -> Flux1:
    source = row.train_source if training else row.source
    stored = torch.float32 if row.name == "nano" else torch.bfloat16
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()  # ours is the only one
    try:
        if Path(source).is_file():
            pipeline = companions.pipeline(Path(source), stored)
        else:
            pipeline = FluxPipeline.from_pretrained(source, dtype=stored, local_files_only=True)
    except OSError as error:
        raise InputError(
            f"The weights of {row.name} are not on this machine: accept their licence at huggingface.co/{source}, run "
            f"`hf download {source}`, or give --base the path of a diffusers folder."
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return Flux1(row, pipeline, compute_dtype(dtype, stored))


def compute_dtype(asked: str, stored: torch.dtype) -> torch.dtype:
    """bfloat16 where the processor multiplies it natively, else float32, unless asked otherwise."""
    if asked != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[asked]
    if stored == torch.bfloat16 or torch.cuda.is_available():
        return torch.bfloat16
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


class Flux1:
    """See `models.base.Family` for what each method promises."""

    def __init__(self, row: Base, pipeline: FluxPipeline, dtype: torch.dtype) -> None:
        self.row, self.dtype = row, dtype
        self._pipeline = pipeline.to("cuda") if torch.cuda.is_available() else pipeline
        self.network: FluxTransformer2DModel = pipeline.transformer
        self.stored = self.network.dtype

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], text_length: int) -> Conditioning:
        states, pooled, _ = self._pipeline.encode_prompt(list(texts), max_sequence_length=text_length)
        assert states is not None and pooled is not None
        return {"states": states, "pooled": pooled}

    def count_tokens(self, text: str) -> int:
        return len(self._pipeline.tokenizer_2(text, verbose=False).input_ids)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        vae: Any = self._pipeline.vae
        # the posterior's mean: its spread is far below what a LoRA could learn, and the same picture gives the same latents
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        z = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        return FluxPipeline._pack_latents(z, *z.shape)

    def image_tokens(self, width: int, height: int) -> int:
        return (width // PIXELS_PER_TOKEN) * (height // PIXELS_PER_TOKEN)

    def velocity(self, x: Tensor, sigma: Tensor, conditioning: Conditioning, guidance: float, size: tuple[int, int]) -> Tensor:
        states, width, height = conditioning["states"], *size
        rows, columns = height // PIXELS_PER_TOKEN, width // PIXELS_PER_TOKEN
        # float32 weights are multiplied in bfloat16 where that pays; a base stored in bfloat16 needs no casting
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype != self.stored):
            return self.network(
                hidden_states=x,
                timestep=sigma.to(x.dtype),  # the network itself multiplies by 1000
                guidance=x.new_full((len(x),), guidance) if self.network.config["guidance_embeds"] else None,
                encoder_hidden_states=states,
                pooled_projections=conditioning["pooled"],
                txt_ids=states.new_zeros(states.shape[1], 3),
                img_ids=FluxPipeline._prepare_latent_image_ids(1, rows, columns, x.device, x.dtype),
                return_dict=False,
            )[0]

    def adapter_targets(self) -> list[str]:
        """Every Linear of both block types: attention, feed-forward and modulation; not the embedders and the output."""
        return [
            name
            for name, module in self.network.named_modules()
            if isinstance(module, nn.Linear) and name.startswith(("transformer_blocks.", "single_transformer_blocks."))
        ]

    def checkpoint_gradients(self, blocks: int | None = None) -> None:
        # the first ones: by the time the backward pass comes to them, what the others kept is free again
        chosen = {id(block) for block in [*self.network.transformer_blocks, *self.network.single_transformer_blocks][:blocks]}

        def run(block: nn.Module, *inputs: Any) -> Any:
            return checkpoint(block, *inputs, use_reentrant=False) if id(block) in chosen else block(*inputs)

        self.network.enable_gradient_checkpointing(run)

    def release_encoders(self, *, keep_decoder: bool) -> None:
        self._pipeline.register_modules(text_encoder=None, text_encoder_2=None)
        if not keep_decoder:
            self._pipeline.register_modules(vae=None)

    def pipeline(self) -> FluxPipeline:
        return self._pipeline

    def pipeline_arguments(self, conditioning: Conditioning, guidance: float) -> dict[str, Any]:
        return {
            "prompt_embeds": conditioning["states"],
            "pooled_prompt_embeds": conditioning["pooled"],
            "guidance_scale": guidance,
        }
