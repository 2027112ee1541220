"""The pipeline around a single file of FLUX.2 [klein]'s network, out of the components near it.

The tokenizer is in none of these files: it comes from a folder `tokenizer` beside it or from the
Hugging Face cache. Where the others lie is known to `files.py`.
"""

from __future__ import annotations

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
from transformers import Qwen3Config, Qwen3ForCausalLM

from fluxbooth.errors import InputError
from fluxbooth.models import tokenizer_files, weight_reader
from fluxbooth.models.flux2 import files, single_file
from fluxbooth.models.flux2.size import LAYERS_READ, encoder_config

TOKENIZER = "Qwen/Qwen3-4B"  # whose words Qwen3-8B has, too
# the head that tells the next word, whose embedding it is in the 4B and which nothing here asks
UNUSED = ("lm_head.weight",)
SCHEDULER: dict[str, Any] = {"shift": 3.0, "use_dynamic_shifting": True}


def pipeline(
    path: Path, dtype: torch.dtype, network: Flux2Transformer2DModel | None = None
) -> Flux2KleinPipeline:
    """diffusers' pipeline around the network in `path`, or around that network, empty as yet.

    Raises InputError if a companion is missing or is another model's.
    """
    network = network or single_file.transformer(path, dtype)
    width = network.config["joint_attention_dim"] // len(LAYERS_READ)
    place = files.component(path, files.encoder(width))
    tokenizer = tokenizer_files.beside(path, "tokenizer", TOKENIZER)
    text_encoder = _encoder(place, width, dtype)
    tokenizer_files.check_vocabulary(tokenizer, text_encoder, place)
    return Flux2KleinPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        vae=_autoencoder(files.component(path, files.VAE), dtype),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=network,
        is_distilled=files.distilled(path),
    )


def _autoencoder(place: Path, dtype: torch.dtype) -> AutoencoderKLFlux2:
    if place.is_dir():
        return AutoencoderKLFlux2.from_pretrained(place, dtype=dtype, local_files_only=True)
    return single_file.autoencoder(place, dtype)


def _encoder(place: Path, width: int, dtype: torch.dtype) -> Qwen3ForCausalLM:
    if place.is_dir():
        encoder = Qwen3ForCausalLM.from_pretrained(place, dtype=dtype, local_files_only=True)
    else:
        encoder = _encoder_of_file(place, width, dtype)
    if encoder.config.hidden_size != width:
        raise InputError(
            f"{place} is a text encoder of width {encoder.config.hidden_size}, and this network "
            f"reads one of {width}: use {files.encoder(width).stems[0]}.safetensors."
        )
    return encoder


def _encoder_of_file(place: Path, width: int, dtype: torch.dtype) -> Qwen3ForCausalLM:
    kind = files.encoder(width)
    with weight_reader.opened(place, kind.prefix) as file:
        try:
            config = Qwen3Config(**encoder_config(file.shapes))
        except KeyError as error:
            raise InputError(
                f"{place} holds no Qwen3 text encoder, it lacks {error}: use "
                f"{kind.stems[0]}.safetensors."
            ) from error
        with init_empty_weights():
            encoder = Qwen3ForCausalLM(config)
        weights = ((name, file.weight(name)) for name in file.weights())
        put = weight_reader.cast_into(encoder, dtype)
        tied = UNUSED if config.tie_word_embeddings else ()
        weight_reader.fill(encoder, weights, place, put, "Qwen3", tied=tied)
    encoder.tie_weights()
    return encoder
