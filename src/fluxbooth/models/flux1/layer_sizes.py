"""The Linear layers of a FLUX.1 network and their sizes, from its configuration or the headers
of its weights. No torch, no weights."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from fluxbooth.models import weight_files
from fluxbooth.models.comfyui import ALL_IN_ONE
from fluxbooth.models.flux1.layer_names import LAYERS

Size = tuple[int, int]  # outputs, inputs
FREQUENCIES = 256  # numbers that a time or a guidance is told with


@dataclass(frozen=True)
class _Network:
    doubles: int
    singles: int
    width: int
    text: int  # width of a token of the text
    pooled: int
    channels: int  # of a packed latent
    guided: bool


_FLUX1 = _Network(19, 38, 3072, 4096, 768, 64, True)


def sizes(source: str) -> dict[str, Size]:
    """Each Linear of a base by diffusers' name; a source that is neither a folder nor a file
    here has FLUX.1's own."""
    path = Path(source)
    network = _of_file(path) if path.is_file() else _of_folder(path) if path.is_dir() else _FLUX1
    return LAYERS.sizes(network.doubles, network.singles, network.width) | _outside(network)


def _outside(network: _Network) -> dict[str, Size]:
    d, channels = network.width, network.channels
    told = {"timestep_embedder": FREQUENCIES, "text_embedder": network.pooled}
    if network.guided:
        told["guidance_embedder"] = FREQUENCIES
    found = {
        "x_embedder": (d, channels),
        "context_embedder": (d, network.text),
        "proj_out": (channels, d),
        "norm_out.linear": (2 * d, d),
    }
    for name, inputs in told.items():
        found[f"time_text_embed.{name}.linear_1"] = (d, inputs)
        found[f"time_text_embed.{name}.linear_2"] = (d, d)
    return found


def _of_folder(path: Path) -> _Network:
    config = json.loads((path / "transformer" / "config.json").read_text())
    return _Network(
        config["num_layers"],
        config["num_single_layers"],
        config["num_attention_heads"] * config["attention_head_dim"],
        config["joint_attention_dim"],
        config["pooled_projection_dim"],
        config["in_channels"],
        config["guidance_embeds"],
    )


def _of_file(path: Path) -> _Network:
    shapes = weight_files.under(weight_files.shapes(path), ALL_IN_ONE)

    width, channels = shapes["img_in.weight"]
    return _Network(
        weight_files.numbered(shapes, "double_blocks."),
        weight_files.numbered(shapes, "single_blocks."),
        width,
        shapes["txt_in.weight"][1],
        shapes["vector_in.in_layer.weight"][1],
        channels,
        "guidance_in.in_layer.weight" in shapes,
    )
