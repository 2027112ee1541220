"""The places of FLUX.1's parts: in diffusers' folders, in the original single files, in a ComfyUI.

Read from configurations and headers alone: no torch, no weights. Beside a single file of the
network, autoencoder and text encoders are looked for in the file itself (ComfyUI's all-in-one
checkpoints), in its folder, and in or under the `vae`, `text_encoders` and `clip` folders of the
ComfyUI it lies in. In a copy of the original authors' repository the encoders are diffusers'
folders beside it. Nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from fluxbooth.errors import InputError
from fluxbooth.models import weight_files

Shapes = Mapping[str, tuple[int, ...]]
# the network's prefix in files that hold encoders and autoencoder as well
ALL_IN_ONE = "model.diffusion_model."
# of FLUX.1's networks in the original layout, and of no other model's
FIRST = "double_blocks.0.img_attn.norm.query_norm.scale"
NETWORKS = ("diffusion_models", "unet", "checkpoints")  # folders of a ComfyUI that hold networks
# where the others are in an all-in-one file, and how their own files are called
CLIP = ("text_encoders.clip_l.transformer.", "clip_l")
T5 = ("text_encoders.t5xxl.transformer.", "t5xxl")
VAE = ("vae.", "ae")
FOLDERS = ("vae", "text_encoders", "clip")
BESIDE = {CLIP: "text_encoder", T5: "text_encoder_2"}  # diffusers' folders


def network(path: Path) -> Path | None:
    """The diffusers folder or the single file of a FLUX.1 network at a path, or in that folder or
    ComfyUI; None if there is none.

    Raises InputError if there are several, or if a file is no safetensors file.
    """
    if path.is_file():
        return path if _is_network(path) else None
    if (path / "model_index.json").is_file():
        kind = json.loads((path / "model_index.json").read_text()).get("_class_name", "")
        config = path / "transformer" / "config.json"
        network = json.loads(config.read_text()).get("_class_name") if config.is_file() else None
        ours = kind.startswith("Flux") and network == "FluxTransformer2DModel"
        return path if ours else None
    found = {file.resolve(): file for file in _candidates(path) if _is_network(file)}
    if len(found) > 1:
        several = ", ".join(map(str, sorted(found.values())))
        raise InputError(f"{path} holds several FLUX.1 networks: give --base one of {several}.")
    return next(iter(found.values()), None)


def kind(source: Path) -> Literal["dev", "schnell", "other"]:
    """What a network in a diffusers folder or a single file is by its size: as large as FLUX.1's
    and told the guidance (FLUX.1-dev, or made from it), as large and not told it, or another."""
    if source.is_dir():
        config = json.loads((source / "transformer" / "config.json").read_text())
        width = config["num_attention_heads"] * config["attention_head_dim"]
        size = config["num_layers"], config["num_single_layers"], width
        large, guided = size == (19, 38, 3072), bool(config["guidance_embeds"])
    else:
        found = under(weight_files.shapes(source), ALL_IN_ONE)
        last = {"double_blocks.18.img_mlp.0.weight", "single_blocks.37.linear1.weight"}
        large = last <= found.keys() and found.get("img_in.weight", (0,))[0] == 3072
        guided = "guidance_in.in_layer.weight" in found
    return ("dev" if guided else "schnell") if large else "other"


def under(shapes: Shapes, prefix: str) -> Shapes:
    """The tensors under a prefix by their names without it, or all if none are."""
    within = {k.removeprefix(prefix): v for k, v in shapes.items() if k.startswith(prefix)}
    return within or shapes


def component(path: Path, kind: tuple[str, str]) -> Path:
    """The file or diffusers folder of a component (CLIP, T5, VAE) of the network in a file.

    Raises InputError if it is not near.
    """
    prefix, stem = kind
    if any(name.startswith(prefix) for name in weight_files.shapes(path)):
        return path
    folders = [ancestor / folder for ancestor in path.resolve().parents[1:4] for folder in FOLDERS]
    near = list(path.parent.glob("*.safetensors"))
    near += [file for folder in folders for file in sorted(folder.rglob("*.safetensors"))]
    found = [candidate for candidate in near if _is_named(candidate.stem, stem)]
    if found:  # the exact one before the smaller ones, and of those the scaled one
        return min(found, key=lambda f: ("fp8" in f.stem, "scaled" not in f.stem, near.index(f)))
    beside = path.parent / BESIDE.get(kind, "")
    if kind in BESIDE and (beside / "config.json").is_file():
        return beside
    raise InputError(
        f"{path} is FLUX.1's network alone and {stem}.safetensors is not near it: put it into the "
        "same folder, or use the file where it lies in ComfyUI."
    )


def _is_named(stem: str, wanted: str) -> bool:
    return stem == wanted or stem.startswith((f"{wanted}_", f"{wanted}-"))


def _candidates(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.safetensors")
    for place in (folder / name for name in (*NETWORKS, *(f"models/{name}" for name in NETWORKS))):
        yield from place.rglob("*.safetensors")


def _is_network(path: Path) -> bool:
    return not {FIRST, ALL_IN_ONE + FIRST}.isdisjoint(weight_files.shapes(path))
