"""How large a FLUX.1 base is, from its configuration alone. No torch, no weights."""

from __future__ import annotations

import json
from pathlib import Path

from fluxbooth.memory.size import FLUX1, Shape
from fluxbooth.models import weight_files


def of(source: str) -> Shape:
    """The shape of a base's source: read from its diffusers folder or single file, or that of
    FLUX.1, which all others have."""
    path = Path(source)
    if path.is_file():
        from fluxbooth.models.flux1 import components  # loads torch

        return components.shape(path)
    return read(path) if path.is_dir() else FLUX1


def read(folder: Path) -> Shape:
    """The shape of a diffusers folder, from its configuration and the headers of its weights."""
    network = json.loads((folder / "transformer" / "config.json").read_text())
    autoencoder = json.loads((folder / "vae" / "config.json").read_text())
    heads = network["num_attention_heads"]
    return Shape(
        network["num_layers"],
        network["num_single_layers"],
        heads * network["attention_head_dim"],
        heads,
        network["joint_attention_dim"],
        network["pooled_projection_dim"],
        network["guidance_embeds"],
        network["in_channels"],
        encoders=weight_files.numbers(folder / "text_encoder")
        + weight_files.numbers(folder / "text_encoder_2"),
        autoencoder=weight_files.numbers(folder / "vae"),
        autoencoder_channels=autoencoder["block_out_channels"][0],
    )
