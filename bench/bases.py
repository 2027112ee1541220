"""The bases that are measured: nano's encoders and autoencoder around nano's network, or around
a random one of FLUX.1's width."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.models.flux1.bases import NANO

POSITIONS = 77  # of CLIP in FLUX.1, which diffusers' script pads texts to; nano has 48


def nano(work: Path) -> Path:
    """nano with 77 positions in its CLIP encoder, so that diffusers' script can read it."""
    folder = work / "nano"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(NANO, folder, ignore=shutil.ignore_patterns("reader"))
        _lengthen_clip(folder)
        (folder / "done").touch()
    return folder


def real_width(
    work: Path, layers: int = 1, single_layers: int = 2, text_width: int | None = None
) -> Path:
    """The same around a network of random weights at FLUX.1's width: 1 double and 2 single
    blocks have 623 M parameters, 2.5 GB."""
    from diffusers import FluxTransformer2DModel

    folder = work / f"width-3072-{layers}-{single_layers}{f'-{text_width}' if text_width else ''}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(nano(work), folder, ignore=shutil.ignore_patterns("transformer", "done"))
        told = json.loads((NANO / "transformer" / "config.json").read_text())
        torch.manual_seed(0)
        FluxTransformer2DModel(
            num_layers=layers,
            num_single_layers=single_layers,
            attention_head_dim=128,
            num_attention_heads=24,
            guidance_embeds=True,
            joint_attention_dim=text_width or told["joint_attention_dim"],
            pooled_projection_dim=told["pooled_projection_dim"],
            axes_dims_rope=(16, 56, 56),
        ).save_pretrained(folder / "transformer")
        (folder / "done").touch()
    return folder


def real_encoder(work: Path) -> Path:
    """The same with a T5-XXL, random too, in place of nano's: 4.8 billion parameters, 9.5 GB in
    bfloat16."""
    from transformers import T5Config, T5EncoderModel

    folder = real_width(work, text_width=4096)
    if not (folder / "encoder done").exists():
        settings = T5Config(
            vocab_size=32128,
            d_model=4096,
            d_kv=64,
            d_ff=10240,
            num_layers=24,
            num_heads=64,
            feed_forward_proj="gated-gelu",
            use_cache=False,
            dropout_rate=0.0,
            dtype="bfloat16",
        )
        with torch.device("meta"):
            names = {
                name: tensor.shape for name, tensor in T5EncoderModel(settings).state_dict().items()
            }
        place = folder / "text_encoder_2"
        shutil.rmtree(place)
        settings.architectures = ["T5EncoderModel"]
        settings.save_pretrained(place)
        torch.manual_seed(0)
        tensors = {
            name: (torch.randn(shape) * 0.02 if len(shape) > 1 else torch.ones(shape)).bfloat16()
            for name, shape in names.items()
        }
        tensors.pop("encoder.embed_tokens.weight", None)  # the same as "shared"
        save_file(tensors, place / "model.safetensors", {"format": "pt"})
        (folder / "encoder done").touch()
    return folder


def photo(work: Path, side: int) -> Path:
    """A folder with one picture of just that size, so that cropping changes nothing."""
    folder = work / f"photo-{side}"
    folder.mkdir(exist_ok=True)
    picture = Image.open(PHOTOS / "photo-01.png").convert("RGB")
    picture.resize((side, side), Image.Resampling.LANCZOS).save(folder / "photo.png")
    return folder


def _lengthen_clip(folder: Path) -> None:
    weights = folder / "text_encoder" / "model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("position_embedding.weight"))
    short = tensors[name]
    tensors[name] = torch.cat([short, short[-1:].repeat(POSITIONS - len(short), 1)])
    save_file(tensors, weights, {"format": "pt"})
    for path, key in (
        (folder / "text_encoder" / "config.json", "max_position_embeddings"),
        (folder / "tokenizer" / "tokenizer_config.json", "model_max_length"),
    ):
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: POSITIONS}))
