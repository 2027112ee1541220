"""The places of FLUX.2 [klein]'s parts: in diffusers' folders, in the original single files, in a
ComfyUI. Read from configurations and headers alone: no torch, no weights."""

from __future__ import annotations

import json
import re
from pathlib import Path

from fluxbooth.errors import InputError
from fluxbooth.models import comfyui, weight_files
from fluxbooth.models.comfyui import ALL_IN_ONE, Component
from fluxbooth.models.weight_files import Shapes

MODEL = "FLUX.2 [klein]"
# of FLUX.2's networks in the original layout, and of no other model's
SHARED = "single_stream_modulation.lin.weight"
GUIDANCE = "guidance_in.in_layer.weight"  # FLUX.2 [dev] is told it, [klein] is not
ENCODER_KEY = "model.layers.0.self_attn.q_norm.weight"  # Qwen3's, not Mistral's
# as a word of a file's name: no "basement" is one
UNDISTILLED = re.compile(r"(?<![a-z])(?:base|undistilled)(?![a-z])")
VAE = Component("vae.", ("flux2-vae", "flux2_vae", "ae"), "vae", "bn.running_mean")


def encoder(width: int) -> Component:
    """The text encoder of that width, three of whose layers the network reads side by side."""
    stem = {2560: "qwen_3_4b", 4096: "qwen_3_8b"}.get(width, "qwen_3")
    inside = stem.replace("qwen_", "qwen")
    return Component(f"text_encoders.{inside}.transformer.", (stem,), "text_encoder", ENCODER_KEY)


def network(path: Path) -> Path | None:
    """The diffusers folder or the single file of a network at a path, or in that folder or ComfyUI;
    None if there is none.

    Raises InputError if there are several, if a file is no safetensors file, and for FLUX.2 [dev].
    """
    if (path / "model_index.json").is_file():
        return path if _index(path).get("_class_name") == "Flux2KleinPipeline" else None
    found = comfyui.network(path, _is_network, MODEL)
    if found is not None and GUIDANCE in network_shapes(found):
        raise InputError(
            f"{found} is FLUX.2 [dev], whose text encoder (Mistral, 24 billion parameters) "
            f"Fluxbooth does not run: use flux-2-klein-4b.safetensors, of {MODEL}."
        )
    return found


def distilled(source: Path) -> bool:
    """Whether a network draws in four steps without guidance, and cannot be trained on. No weight
    tells: a folder's index does, and of a single file its name."""
    if source.is_dir():
        return bool(_index(source).get("is_distilled"))
    return UNDISTILLED.search(source.stem.lower()) is None


def network_shapes(path: Path) -> Shapes:
    """Of a single file of the network, also where that holds more."""
    return weight_files.under(weight_files.shapes(path), ALL_IN_ONE)


def component(path: Path, kind: Component) -> Path:
    """The file or diffusers folder of a component of the network in a file.

    Raises InputError if it is not near.
    """
    return comfyui.component(path, kind, MODEL)


def _is_network(shapes: Shapes) -> bool:
    return SHARED in shapes


def _index(folder: Path) -> dict[str, object]:
    return json.loads((folder / "model_index.json").read_text())
