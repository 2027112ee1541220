"""FLUX.2 [klein] over diffusers' components: an MMDiT whose blocks share one modulation, three
layers of Qwen3 per token, position ids of four axes, latents normalised by a batch norm.

Guidance, where the base knows one, is that of two passes: with the text and with an empty one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from diffusers import (
    Flux2KleinInpaintPipeline,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor, nn

from fluxbooth.memory.estimate import Choice
from fluxbooth.models import diffusers_family, loading, weight_reader
from fluxbooth.models.base import Base
from fluxbooth.models.diffusers_family import PIXELS_PER_TOKEN, DiffusersFamily, WhereItsNetworkIs
from fluxbooth.models.family import Conditioning, Parts
from fluxbooth.models.flux2 import components, files, single_file
from fluxbooth.models.flux2.bases import UNDISTILLED
from fluxbooth.models.flux2.size import LAYERS_KEPT, LAYERS_READ

EMPTY = ""


def load(row: Base, *, training: bool, choice: Choice, parts: Parts | None = None) -> Flux2:
    """The base as `choice` wants it; its row says how the weights that are loaded draw, which are
    others for training.

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
            network = loading.empty(Flux2Transformer2DModel, source / "transformer")
            weights = loading.weights(source / "transformer")
            pipeline = Flux2KleinPipeline.from_pretrained(
                source,
                transformer=network,
                dtype=stored,
                local_files_only=True,
                **diffusers_family.same_parts(parts, source),
            )
    _leave_out_what_is_not_read(pipeline.text_encoder)
    distilled = pipeline.config["is_distilled"]
    family = Flux2(
        row if distilled else replace(row, **UNDISTILLED),
        _Pipeline(**pipeline.components, is_distilled=distilled),
        getattr(torch, choice.dtype),
        choice,
        lambda put: weight_reader.fill(network, weights, source, put, files.MODEL),
    )
    return family.ready()


def _leave_out_what_is_not_read(encoder: Any) -> None:
    """The layers of Qwen3 above those that are read, and its head, which tells the next word."""
    encoder.model.layers = encoder.model.layers[:LAYERS_KEPT]
    encoder.lm_head = nn.Identity()


class _Pipeline(WhereItsNetworkIs, Flux2KleinPipeline): ...


class _FromPicture(_Pipeline):
    """Draws from a picture and as much noise as `strength` says, for which diffusers has no
    pipeline of klein: with the noise levels of `Flux2.sigmas`."""

    def __call__(
        self,
        *,
        image: Image.Image,
        strength: float,
        width: int,
        height: int,
        num_inference_steps: int,
        generator: list[torch.Generator],
        references: Sequence[Image.Image] = (),
        **given: Any,
    ) -> Any:
        levels = _levels(num_inference_steps, strength)
        mu = _mu(num_inference_steps, (width, height))
        self.scheduler.set_timesteps(sigmas=levels, mu=mu)
        pixels = self.image_processor.preprocess(image, height, width)
        z = _encoded(self, pixels).to(self._execution_device, given["prompt_embeds"].dtype)
        z = z.repeat(len(generator), 1, 1, 1)
        noise = randn_tensor(z.shape, generator=generator, device=z.device, dtype=z.dtype)
        sigma = self.scheduler.sigmas[0].item()
        return super().__call__(
            image=list(references) or None,
            latents=(1 - sigma) * z + sigma * noise,
            sigmas=levels,
            width=width,
            height=height,
            num_inference_steps=num_inference_steps,
            generator=generator,
            **given,
        )


class _WithinMask(WhereItsNetworkIs, Flux2KleinInpaintPipeline):
    """Looks at the picture as a whole while it draws within the mask, as diffusers' pipeline does,
    and at any number of others. Its noise levels are those of `Flux2.sigmas`: diffusers leaves out
    whole steps, and so four steps would know four strengths."""

    references: Sequence[Image.Image] = ()

    def __call__(
        self,
        *,
        strength: float,
        num_inference_steps: int,
        references: Sequence[Image.Image] = (),
        **given: Any,
    ) -> Any:
        self.references = references
        return super().__call__(
            strength=strength,
            num_inference_steps=num_inference_steps,
            sigmas=_levels(num_inference_steps, strength),
            **given,
        )

    def get_timesteps(self, num_inference_steps: int, strength: float, device: Any) -> Any:
        """All of them: they begin at the strength."""
        self.scheduler.set_begin_index(0)
        return self.scheduler.timesteps, num_inference_steps

    def prepare_image_latents(self, images: list[Tensor], *rest: Any, **named: Any) -> Any:
        looked = [self.image_processor.preprocess(image) for image in self.references]
        return super().prepare_image_latents([*images, *looked], *rest, **named)


class Flux2(DiffusersFamily):
    """Adapters go on attention and feed-forward; the modulation is outside the blocks.

    Conditioning has the text's `states`; those of an `empty` text where the base is guided by two
    passes; `references`, the tokens of pictures that are looked at, and `reference_ids`.
    """

    encoders = ("text_encoder",)
    starts: ClassVar = {"image": _FromPicture, "inpaint": _WithinMask, "reference": _Pipeline}

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str], text_length: int) -> Conditioning:
        told = {"states": self._states(texts, text_length)}
        if self.row.two_pass:
            told["empty"] = self._states([EMPTY] * len(texts), text_length)
        return told

    def _states(self, texts: Sequence[str], text_length: int) -> Tensor:
        encoder = self._pipeline.text_encoder.to(self._encoders_place)
        states = Flux2KleinPipeline._get_qwen3_prompt_embeds(
            encoder,
            self._pipeline.tokenizer,
            list(texts),
            device=self._encoders_place,
            max_sequence_length=text_length,
            hidden_states_layers=list(LAYERS_READ),
        )
        return states.to(self.device, self._dtype)

    def count_tokens(self, text: str) -> int:
        # the words around a text take room, too
        tokenizer = self._pipeline.tokenizer
        said = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return len(tokenizer(said, verbose=False).input_ids)

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> Tensor:
        return Flux2KleinPipeline._pack_latents(_encoded(self._pipeline, pixels))

    @torch.no_grad()
    def encode_references(self, images: Sequence[Image.Image]) -> Conditioning:
        processor = self._pipeline.image_processor
        seen = [_encoded(self._pipeline, processor.preprocess(image)) for image in images]
        return {
            "references": torch.cat([Flux2KleinPipeline._pack_latents(z) for z in seen], dim=1),
            "reference_ids": Flux2KleinPipeline._prepare_image_ids(seen),
        }

    @torch.no_grad()
    def decode_image(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        vae, z = self._pipeline.vae, _grid(latents, size)
        mean, variance = (
            statistic.view(1, -1, 1, 1).to(z)
            for statistic in (vae.bn.running_mean, vae.bn.running_var)
        )
        z = z * torch.sqrt(variance + vae.config.batch_norm_eps) + mean
        z = Flux2KleinPipeline._unpatchify_latents(z)
        return vae.decode(z.to(vae.device, vae.dtype), return_dict=False)[0]

    def unpack(self, latents: Tensor, size: tuple[int, int]) -> Tensor:
        return Flux2KleinPipeline._unpatchify_latents(_grid(latents, size))

    def pack(self, grid: Tensor) -> Tensor:
        return Flux2KleinPipeline._pack_latents(Flux2KleinPipeline._patchify_latents(grid))

    def sigmas(self, steps: int, size: tuple[int, int], strength: float = 1.0) -> list[float]:
        scheduler = self._pipeline.scheduler
        scheduler.set_timesteps(sigmas=_levels(steps, strength), mu=_mu(steps, size))
        return scheduler.sigmas.tolist()

    def mu(self, size: tuple[int, int]) -> float:
        return compute_empirical_mu(self.image_tokens(*size), self.row.steps)

    def velocity(
        self,
        x: Tensor,
        sigma: Tensor,
        conditioning: Conditioning,
        guidance: float,
        size: tuple[int, int],
    ) -> Tensor:
        tokens, ids = (
            x,
            self.kept_ids(
                (size, x.device),
                lambda: Flux2KleinPipeline._prepare_latent_ids(_grid(x, size)[:1]).to(x.device),
            ),
        )
        if "references" in conditioning:
            seen = conditioning["references"].to(x).expand(len(x), -1, -1)
            tokens = torch.cat([x, seen], dim=1)
            ids = torch.cat([ids, conditioning["reference_ids"].to(ids)], dim=1)

        def told(states: Tensor) -> Tensor:
            with torch.autocast(x.device.type, self.dtype, enabled=self._autocast):
                whole = self.network(
                    hidden_states=tokens,
                    timestep=sigma.to(x.dtype),  # the network itself multiplies by 1000
                    encoder_hidden_states=states,
                    txt_ids=self.kept_ids(
                        (states.shape[1], x.device),
                        lambda: Flux2KleinPipeline._prepare_text_ids(states[:1]).to(x.device),
                    ),
                    img_ids=ids,
                    return_dict=False,
                )[0]
            return whole[:, : x.shape[1]]

        with_text = told(conditioning["states"])
        if guidance <= 1 or "empty" not in conditioning:
            return with_text
        without = told(conditioning["empty"])
        return without + guidance * (with_text - without)

    def pipeline_arguments(self, conditioning: Conditioning, guidance: float) -> dict[str, Any]:
        empty = {"negative_prompt_embeds": conditioning["empty"]} if "empty" in conditioning else {}
        return {
            "prompt_embeds": conditioning["states"],
            "guidance_scale": guidance if empty else 1.0,
            **empty,
        }

    def _with_components(self, kind: type[Any]) -> Any:
        return kind(**self._pipeline.components, is_distilled=self._pipeline.config["is_distilled"])


def _grid(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Packed latents as n x 128 x H/16 x W/16."""
    width, height = (side // PIXELS_PER_TOKEN for side in size)
    return tokens.transpose(1, 2).reshape(len(tokens), -1, height, width)


def _encoded(pipeline: Any, pixels: Tensor) -> Tensor:
    """Normalised latents, n x 128 x H/16 x W/16; the posterior's mean."""
    vae = pipeline.vae
    return pipeline._encode_vae_image(pixels.to(vae.device, vae.dtype), generator=None)


def _levels(steps: int, strength: float) -> list[float]:
    """Noise levels before their shift, of a `strength` of so many steps."""
    done = max(1, round(steps * strength))
    return np.linspace(strength, strength / done, done).tolist()


def _mu(steps: int, size: tuple[int, int]) -> float:
    """Of the shift of the noise levels."""
    tokens = (size[0] // PIXELS_PER_TOKEN) * (size[1] // PIXELS_PER_TOKEN)
    return compute_empirical_mu(tokens, steps)
