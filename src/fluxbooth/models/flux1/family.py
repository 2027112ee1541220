"""FLUX.1 (dev, krea, schnell, nano) over diffusers' components: MMDiT, T5 per token, CLIP
pooled, 2 x 2 packed latents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import (
    FluxImg2ImgPipeline,
    FluxInpaintPipeline,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
)
from diffusers.pipelines.flux.pipeline_flux import calculate_shift
from diffusers.pipelines.flux.pipeline_flux_kontext import PREFERRED_KONTEXT_RESOLUTIONS
from PIL import Image
from torch import Tensor

from fluxbooth.memory.estimate import Choice
from fluxbooth.models import diffusers_family, loading, weight_reader
from fluxbooth.models.base import Base
from fluxbooth.models.diffusers_family import PIXELS_PER_TOKEN, DiffusersFamily, WhereItsNetworkIs
from fluxbooth.models.family import Conditioning, Parts
from fluxbooth.models.flux1 import components, files, single_file

REFERENCE = 1  # on the first axis of position ids, where the picture that is drawn is at 0


def load(row: Base, *, training: bool, choice: Choice, parts: Parts | None = None) -> Flux1:
    """The base as `choice` wants it.

    Unless its encoders stay, the network arrives only with `load_network`.
    """
    source = Path(row.train_source if training else row.source)
    stored = getattr(torch, choice.kept)
    with diffusers_family.reading(row):
        if source.is_file():
            network = single_file.empty(source)
            weights = single_file.weights(source)
            pipeline = components.pipeline(source, stored, network)
        else:
            network = loading.empty(FluxTransformer2DModel, source / "transformer")
            weights = loading.weights(source / "transformer")
            pipeline = FluxPipeline.from_pretrained(
                source,
                transformer=network,
                dtype=stored,
                local_files_only=True,
                **diffusers_family.same_parts(parts, source),
            )
    family = Flux1(
        row,
        _Pipeline(**pipeline.components),
        getattr(torch, choice.dtype),
        choice,
        lambda put: weight_reader.fill(network, weights, source, put, files.MODEL),
    )
    return family.ready()


class _Pipeline(WhereItsNetworkIs, FluxPipeline): ...


class _FromPicture(WhereItsNetworkIs, FluxImg2ImgPipeline): ...


class _WithinMask(WhereItsNetworkIs, FluxInpaintPipeline): ...


class _Looking(WhereItsNetworkIs, FluxKontextPipeline):
    """Draws with a picture that is looked at, which it brings to a size that Kontext knows."""

    def __call__(self, *, width: int, height: int, **given: Any) -> Any:
        return super().__call__(width=width, height=height, max_area=width * height, **given)


class Flux1(DiffusersFamily):
    """Adapters go on attention, feed-forward and modulation."""

    encoders = ("text_encoder", "text_encoder_2")
    starts: ClassVar = {"image": _FromPicture, "inpaint": _WithinMask, "reference": _Looking}

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], text_length: int) -> Conditioning:
        for encoder in self._text_encoders:
            encoder.to(self._encoders_place)
        states, pooled, _ = self._pipeline.encode_prompt(
            list(texts), device=self._encoders_place, max_sequence_length=text_length
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

    def encode_references(self, images: Sequence[Image.Image]) -> Conditioning:
        (image,) = images
        shape = image.width / image.height
        _, width, height = min(
            (abs(shape - width / height), width, height)
            for width, height in PREFERRED_KONTEXT_RESOLUTIONS
        )
        processor = self._pipeline.image_processor
        sized = processor.resize(image, height, width)
        z = self.encode_image(processor.preprocess(sized, height, width))
        ids = _ids(z, (width, height))
        ids[:, 0] = REFERENCE
        return {"references": z, "reference_ids": ids[None]}

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
        done, mu = max(1, round(steps * strength)), self.mu(size)
        scheduler.set_timesteps(sigmas=np.linspace(strength, strength / done, done), mu=mu)
        return scheduler.sigmas.tolist()

    def mu(self, size: tuple[int, int]) -> float:
        config = self._pipeline.scheduler.config
        return calculate_shift(
            self.image_tokens(*size),
            config.base_image_seq_len,
            config.max_image_seq_len,
            config.base_shift,
            config.max_shift,
        )

    def velocity(
        self,
        x: Tensor,
        sigma: Tensor,
        conditioning: Conditioning,
        guidance: float,
        size: tuple[int, int],
    ) -> Tensor:
        states, tokens, ids = conditioning["states"], x, self._ids_of(x, size)
        if "references" in conditioning:
            looked = conditioning["references"].to(x).expand(len(x), -1, -1)
            tokens = torch.cat([x, looked], dim=1)
            ids = torch.cat([ids, conditioning["reference_ids"][0].to(ids)])
        with torch.autocast(x.device.type, self.dtype, enabled=self._autocast):
            told = self.network(
                hidden_states=tokens,
                timestep=sigma.to(x.dtype),  # the network itself multiplies by 1000
                guidance=x.new_full((len(x),), guidance)
                if self.network.config["guidance_embeds"]
                else None,
                encoder_hidden_states=states,
                pooled_projections=conditioning["pooled"],
                txt_ids=states.new_zeros(states.shape[1], 3),
                img_ids=ids,
                return_dict=False,
            )[0]
        return told[:, : x.shape[1]]

    def _ids_of(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Made once for each size, in main memory, from where a card fetches them."""
        return self.kept_ids((size, x.device, x.dtype), lambda: _ids(x, size))

    def pipeline_arguments(self, conditioning: Conditioning, guidance: float) -> dict[str, Any]:
        return {
            "prompt_embeds": conditioning["states"],
            "pooled_prompt_embeds": conditioning["pooled"],
            "guidance_scale": guidance,
        }


def _ids(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Places of the tokens of a picture of (width, height) pixels."""
    width, height = size
    return FluxPipeline._prepare_latent_image_ids(
        1, height // PIXELS_PER_TOKEN, width // PIXELS_PER_TOKEN, x.device, x.dtype
    )
