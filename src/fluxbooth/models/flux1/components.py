"""The pipeline around a single file of FLUX.1's network, out of the components near it.

Tokenizers are in none of these files: they come from folders `tokenizer` and `tokenizer_2` beside
it or from the Hugging Face cache. Where the others lie is known to `files.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from fluxbooth.errors import InputError
from fluxbooth.models import tokenizer_files, weight_reader
from fluxbooth.models.flux1 import files, single_file
from fluxbooth.models.flux1.files import CLIP, T5, VAE
from fluxbooth.models.weight_files import numbered

TOKENIZERS = {"tokenizer": "openai/clip-vit-large-patch14", "tokenizer_2": "google/t5-v1_1-xxl"}
CLIP_HEAD = 64  # width of an attention head, which no shape tells
DROPPED = "text_model."  # of CLIP's names in files, gone from transformers'
UNUSED = (
    "text_projection.weight",
    "logit_scale",
    "embeddings.position_ids",
    "encoder.embed_tokens.weight",
    "spiece_model",
)


def pipeline(
    path: Path, dtype: torch.dtype, network: FluxTransformer2DModel | None = None
) -> FluxPipeline:
    """diffusers' pipeline around the network in `path`, or around that network, empty as yet.

    Raises InputError if a companion is missing or is another model's.
    """
    places = {kind: files.component(path, kind) for kind in (VAE, CLIP, T5)}
    tokenizer, tokenizer_2 = (
        tokenizer_files.beside(path, name, source) for name, source in TOKENIZERS.items()
    )
    text_encoder = _clip(places[CLIP], dtype, tokenizer.eos_token_id)
    text_encoder_2 = _t5(places[T5], dtype)
    tokenizer_files.check_vocabulary(tokenizer, text_encoder, places[CLIP])
    tokenizer_files.check_vocabulary(tokenizer_2, text_encoder_2, places[T5])
    network = network or single_file.transformer(path, dtype)
    # all of FLUX.1 but schnell, which samples without a shift
    guided = bool(network.config["guidance_embeds"])
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            shift=3.0 if guided else 1.0, use_dynamic_shifting=guided
        ),
        vae=single_file.autoencoder(places[VAE], dtype),
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        text_encoder_2=text_encoder_2,
        tokenizer_2=tokenizer_2,
        transformer=network,
    )


def _clip(path: Path, dtype: torch.dtype, eos: int) -> CLIPTextModel:
    if path.is_dir():
        return CLIPTextModel.from_pretrained(path, dtype=dtype, local_files_only=True)
    with weight_reader.opened(path, CLIP.prefix) as file:
        try:
            config = clip_config(file.shapes, eos)
        except KeyError as error:
            raise InputError(
                f"{path} holds no CLIP text encoder, it lacks {error}: use clip_l.safetensors."
            ) from error
        return _filled(CLIPTextModel, config, file, path, dtype)


def clip_config(shapes: dict[str, tuple[int, ...]], eos: int) -> CLIPTextConfig:
    """CLIP-L's architecture from the shapes of its weights.

    Raises KeyError if they are another model's.
    """
    tokens, positions = (
        shapes[f"{DROPPED}embeddings.{kind}_embedding.weight"] for kind in ("token", "position")
    )
    return CLIPTextConfig(
        vocab_size=tokens[0],
        hidden_size=tokens[1],
        max_position_embeddings=positions[0],
        num_attention_heads=tokens[1] // CLIP_HEAD,
        num_hidden_layers=numbered(shapes, f"{DROPPED}encoder.layers."),
        projection_dim=tokens[1],
        hidden_act="quick_gelu",
        intermediate_size=shapes[f"{DROPPED}encoder.layers.0.mlp.fc1.weight"][0],
        eos_token_id=eos,
    )


def _t5(path: Path, dtype: torch.dtype) -> T5EncoderModel:
    if path.is_dir():
        return T5EncoderModel.from_pretrained(path, dtype=dtype, local_files_only=True)
    with weight_reader.opened(path, T5.prefix) as file:
        try:
            config = t5_config(file.shapes)
        except KeyError as error:
            raise InputError(
                f"{path} holds no T5 encoder, it lacks {error}: use t5xxl_fp16.safetensors."
            ) from error
        return _filled(T5EncoderModel, config, file, path, dtype)


def t5_config(shapes: dict[str, tuple[int, ...]]) -> T5Config:
    """T5-XXL's architecture from the shapes of its weights.

    Raises KeyError if they are another model's.
    """
    attention = "encoder.block.0.layer.0.SelfAttention"
    tokens, queries = shapes["shared.weight"], shapes[f"{attention}.q.weight"]
    buckets, heads = shapes[f"{attention}.relative_attention_bias.weight"]
    return T5Config(
        vocab_size=tokens[0],
        d_model=tokens[1],
        d_kv=queries[0] // heads,
        num_heads=heads,
        relative_attention_num_buckets=buckets,
        d_ff=shapes["encoder.block.0.layer.1.DenseReluDense.wi_0.weight"][0],
        num_layers=numbered(shapes, "encoder.block."),
        feed_forward_proj="gated-gelu",
        use_cache=False,
        dropout_rate=0.0,
    )


def _filled(
    kind: Any, config: Any, file: weight_reader.Weights, path: Path, dtype: torch.dtype
) -> Any:
    with init_empty_weights():
        encoder = kind(config)
    named = {name.removeprefix(DROPPED): name for name in file.weights()}
    weights = ((name, file.weight(full)) for name, full in named.items() if name not in UNUSED)
    place = weight_reader.cast_into(encoder, dtype)
    weight_reader.fill(encoder, weights, path, place, files.MODEL, tied=UNUSED)
    encoder.tie_weights()
    return encoder
