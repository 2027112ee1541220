"""FLUX.1 (dev, krea, schnell, nano) over diffusers' components: MMDiT, T5 per token, CLIP
pooled, 2 x 2 packed latents."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import FluxImg2ImgPipeline, FluxInpaintPipeline, FluxPipeline, FluxTransformer2DModel
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers.utils import logging as transformers_logging

from fluxbooth import hardware
from fluxbooth.errors import InputError
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import frozen_linear, weight_reader
from fluxbooth.models.base import Base
from fluxbooth.models.family import Conditioning, Start
from fluxbooth.models.flux1 import components, files, loading, single_file

PIXELS_PER_TOKEN = 16  # 8x autoencoder, 2 x 2 packing


def load(row: Base, *, training: bool, choice: Choice) -> Flux1:
    """The base as `choice` wants it.

    Unless its encoders stay, the network arrives only with `load_network`.
    """
    source = Path(row.train_source if training else row.source)
    stored = getattr(torch, choice.kept)
    for library in (diffusers_logging, transformers_logging):
        library.disable_progress_bar()  # ours is the only one
    try:
        if source.is_file():
            network = single_file.empty(source)
            weights = functools.partial(single_file.weights, source)
            pipeline = components.pipeline(source, stored, network)
        else:
            network = loading.empty(source / "transformer")
            weights = functools.partial(loading.weights, source / "transformer")
            pipeline = _Pipeline.from_pretrained(
                source, transformer=network, dtype=stored, local_files_only=True
            )
    except OSError as error:
        raise InputError(
            f"The weights of {row.name} are not on this machine: accept their licence at "
            f"huggingface.co/{row.source}, run `hf download {row.source}`, or give --base the path "
            "of a diffusers folder."
        ) from error
    pipeline = _Pipeline(**pipeline.components)
    pipeline.set_progress_bar_config(disable=True)
    family = Flux1(
        row,
        pipeline,
        getattr(torch, choice.dtype),
        choice,
        lambda put: weight_reader.fill(network, weights(), source, put, files.MODEL),
    )
    family.place_encoders()
    if choice.encoders == "stay":
        family.load_network()
    return family


class _WhereItsNetworkIs:
    """Draws there, wherever its text encoders are."""

    @property
    def _execution_device(self) -> torch.device:
        # that of the pipeline which this is mixed into
        return self.transformer.device  # type: ignore[attr-defined]


class _Pipeline(_WhereItsNetworkIs, FluxPipeline): ...


class _FromPicture(_WhereItsNetworkIs, FluxImg2ImgPipeline): ...


class _WithinMask(_WhereItsNetworkIs, FluxInpaintPipeline): ...


STARTS = {"image": _FromPicture, "inpaint": _WithinMask}


class Flux1:
    """See `models.base.Family` for what each method promises."""

    def __init__(
        self,
        row: Base,
        pipeline: FluxPipeline,
        dtype: torch.dtype,
        choice: Choice | None = None,
        fill: Callable[[weight_reader.Put], None] | None = None,
    ) -> None:
        """`fill` hands out the network's weights one by one; without it they are there."""
        self.row, self.dtype = row, dtype
        self.network: FluxTransformer2DModel = pipeline.transformer
        self.choice = choice or Choice(
            "float32" if dtype == torch.float32 else "bfloat16", encoders="stay"
        )
        self.stored = getattr(torch, self.choice.kept)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._pipeline, self._fill = pipeline, fill

    @property
    def _autocast(self) -> bool:
        """Whether float32 weights are multiplied in bfloat16; others are kept as they are
        computed with, or are cast at use."""
        return (self.choice.kept, self.choice.dtype) == ("float32", "bfloat16") and not (
            self.choice.cast_at_use or self.choice.offloaded
        )

    @property
    def _dtype(self) -> torch.dtype:
        """What goes into the network and comes out."""
        return torch.float32 if self._autocast else self.dtype

    def place_encoders(self) -> None:
        pipeline, computed = self._pipeline, self._dtype
        on_cpu = self.choice.encoders == "cpu" or self.device.type == "cpu"
        imitated = on_cpu and not hardware.cpu_multiplies_bfloat16()
        for encoder in (pipeline.text_encoder, pipeline.text_encoder_2):
            if encoder.dtype == torch.bfloat16 and (computed == torch.float32 or imitated):
                frozen_linear.compute_in(encoder, torch.float32)
            encoder.to("cpu" if self.choice.encoders == "cpu" else self.device)
        pipeline.vae.to(self.device)
        if pipeline.vae.dtype != computed:
            pipeline.vae.to(computed)

    def load_network(self) -> None:
        if self._fill is None:
            return
        self._fill(
            loading.WeightPlacer(
                self.network, self.adapter_targets(), self.choice, self._dtype, self.device
            )
        )
        self._fill = None

    def park_encoders(self) -> None:
        if self.choice.encoders == "leave":
            for encoder in (self._pipeline.text_encoder, self._pipeline.text_encoder_2):
                encoder.to("cpu")

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], text_length: int) -> Conditioning:
        place = torch.device("cpu") if self.choice.encoders == "cpu" else self.device
        for encoder in (self._pipeline.text_encoder, self._pipeline.text_encoder_2):
            encoder.to(place)
        states, pooled, _ = self._pipeline.encode_prompt(
            list(texts), device=place, max_sequence_length=text_length
        )
        assert states is not None and pooled is not None
        return {
            "states": states.to(self.device, self._dtype),
            "pooled": pooled.to(self.device, self._dtype),
        }

    def count_tokens(self, text: str) -> int:
        return len(self._pipeline.tokenizer_2(text, verbose=False).input_ids)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        vae: Any = self._pipeline.vae
        # the posterior's mean: its spread is far below what a LoRA could learn, and the same
        # picture gives the same latents
        latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mode()
        z = (latents - vae.config.shift_factor) * vae.config.scaling_factor
        return FluxPipeline._pack_latents(z, *z.shape)

    @torch.no_grad()
    def decode_image(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        vae: Any = self._pipeline.vae
        grid = self.unpack(latents, size) / vae.config.scaling_factor + vae.config.shift_factor
        return vae.decode(grid.to(vae.device, vae.dtype), return_dict=False)[0]

    def unpack(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        width, height = size
        return FluxPipeline._unpack_latents(latents, height, width, 8)

    def pack(self, grid: Tensor) -> Tensor:
        return FluxPipeline._pack_latents(grid, *grid.shape)

    def sigmas(self, steps: int, size: tuple[int, int], strength: float = 1.0) -> list[float]:
        scheduler: Any = self._pipeline.scheduler
        config = scheduler.config
        mu = calculate_shift(
            self.image_tokens(*size),
            config.base_image_seq_len,
            config.max_image_seq_len,
            config.base_shift,
            config.max_shift,
        )
        done = max(1, round(steps * strength))
        scheduler.set_timesteps(sigmas=np.linspace(strength, strength / done, done), mu=mu)
        return scheduler.sigmas.tolist()

    def image_tokens(self, width: int, height: int) -> int:
        return (width // PIXELS_PER_TOKEN) * (height // PIXELS_PER_TOKEN)

    def velocity(
        self,
        x: Tensor,
        sigma: Tensor,
        conditioning: Conditioning,
        guidance: float,
        size: tuple[int, int],
    ) -> Tensor:
        states, width, height = conditioning["states"], *size
        rows, columns = height // PIXELS_PER_TOKEN, width // PIXELS_PER_TOKEN
        with torch.autocast(x.device.type, self.dtype, enabled=self._autocast):
            return self.network(
                hidden_states=x,
                timestep=sigma.to(x.dtype),  # the network itself multiplies by 1000
                guidance=x.new_full((len(x),), guidance)
                if self.network.config["guidance_embeds"]
                else None,
                encoder_hidden_states=states,
                pooled_projections=conditioning["pooled"],
                txt_ids=states.new_zeros(states.shape[1], 3),
                img_ids=FluxPipeline._prepare_latent_image_ids(1, rows, columns, x.device, x.dtype),
                return_dict=False,
            )[0]

    def adapter_targets(self) -> list[str]:
        """Every Linear of both block types: attention, feed-forward and modulation; not the
        embedders and the output."""
        return [
            name
            for name, module in self.network.named_modules()
            if isinstance(module, nn.Linear) and name.startswith(loading.BLOCKS)
        ]

    def checkpoint_gradients(self, blocks: int | None = None) -> None:
        # the first ones: by the time the backward pass comes to them, what the others kept is free
        # again
        chosen = {
            id(block)
            for block in [
                *self.network.transformer_blocks,
                *self.network.single_transformer_blocks,
            ][:blocks]
        }

        def run(block: nn.Module, *inputs: Any) -> Any:
            return (
                checkpoint(block, *inputs, use_reentrant=False)
                if id(block) in chosen
                else block(*inputs)
            )

        self.network.enable_gradient_checkpointing(run)

    def release_encoders(self, *, keep_decoder: bool) -> None:
        self._pipeline.register_modules(text_encoder=None, text_encoder_2=None)
        if not keep_decoder:
            self._pipeline.register_modules(vae=None)

    def pipeline(self, start: Start = "text") -> Any:
        if start == "text":
            return self._pipeline
        made = STARTS[start](**self._pipeline.components)
        made.set_progress_bar_config(disable=True)
        return made

    def pipeline_arguments(self, conditioning: Conditioning, guidance: float) -> dict[str, Any]:
        return {
            "prompt_embeds": conditioning["states"],
            "pooled_prompt_embeds": conditioning["pooled"],
            "guidance_scale": guidance,
        }
