"""The places of FLUX.1's parts: in diffusers' folders, in the original single files, in a ComfyUI.

Read from configurations and headers alone: no torch, no weights. In a copy of the original authors'
repository the encoders are diffusers' folders beside the network's file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from fluxbooth.models import comfyui, weight_files
from fluxbooth.models.comfyui import ALL_IN_ONE, Component
from fluxbooth.models.weight_files import Shapes

MODEL = "FLUX.1"
# of FLUX.1's networks in the original layout and of no other model's, but that FLUX.2 has it, too,
# beside what its blocks share
FIRST = "double_blocks.0.img_attn.norm.query_norm.scale"
OF_FLUX2 = "single_stream_modulation.lin.weight"
CLIP = Component("text_encoders.clip_l.transformer.", ("clip_l",), "text_encoder")
T5 = Component("text_encoders.t5xxl.transformer.", ("t5xxl",), "text_encoder_2")
VAE = Component("vae.", ("ae",))


def network(path: Path) -> Path | None:
    """The diffusers folder or the single file of a FLUX.1 network at a path, or in that folder or
    ComfyUI; None if there is none.

    Raises InputError if there are several, or if a file is no safetensors file.
    """
    if (path / "model_index.json").is_file():
        kind = json.loads((path / "model_index.json").read_text()).get("_class_name", "")
        config = path / "transformer" / "config.json"
        network = json.loads(config.read_text()).get("_class_name") if config.is_file() else None
        ours = kind.startswith("Flux") and network == "FluxTransformer2DModel"
        return path if ours else None
    return comfyui.network(path, _is_network, MODEL)


def kind(source: Path) -> Literal["dev", "schnell", "other"]:
    """What a network in a diffusers folder or a single file is by its size: as large as FLUX.1's
    and told the guidance (FLUX.1-dev, or made from it), as large and not told it, or another."""
    if source.is_dir():
        config = json.loads((source / "transformer" / "config.json").read_text())
        width = config["num_attention_heads"] * config["attention_head_dim"]
        size = config["num_layers"], config["num_single_layers"], width
        large, guided = size == (19, 38, 3072), bool(config["guidance_embeds"])
    else:
        found = weight_files.under(weight_files.shapes(source), ALL_IN_ONE)
        last = {"double_blocks.18.img_mlp.0.weight", "single_blocks.37.linear1.weight"}
        large = last <= found.keys() and found.get("img_in.weight", (0,))[0] == 3072
        guided = "guidance_in.in_layer.weight" in found
    return ("dev" if guided else "schnell") if large else "other"


def component(path: Path, kind: Component) -> Path:
    """The file or diffusers folder of a component (CLIP, T5, VAE) of the network in a file.

    Raises InputError if it is not near.
    """
    return comfyui.component(path, kind, MODEL)


def _is_network(shapes: Shapes) -> bool:
    return FIRST in shapes and OF_FLUX2 not in shapes
