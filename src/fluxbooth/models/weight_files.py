"""What files of weights hold, from their headers alone: no torch, no weights."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path

from fluxbooth.errors import InputError

# the network's prefix in files that hold encoders and autoencoder as well
ALL_IN_ONE = "model.diffusion_model."
# of FLUX.1's networks in the original layout, and of no other model's
FIRST = "double_blocks.0.img_attn.norm.query_norm.scale"
NETWORKS = ("diffusion_models", "unet", "checkpoints")  # folders of a ComfyUI that hold networks
LARGEST_HEADER = 100_000_000  # bytes, as in the format's own library


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a safetensors file's tensors by their names.

    Raises InputError, naming the file, if it is none.
    """
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > LARGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        return {name: tuple(row["shape"]) for name, row in header.items() if name != "__metadata__"}
    except (OSError, ValueError, struct.error, AttributeError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} cannot be read as a safetensors file ({error}): check the path or "
            "download it again."
        ) from error


def numbers(folder: Path) -> int:
    """How many numbers the safetensors files of a folder hold."""
    return sum(
        math.prod(shape) for path in folder.glob("*.safetensors") for shape in shapes(path).values()
    )


def network(folder: Path) -> Path:
    """The one file of a FLUX.1 network in a folder, or in a ComfyUI.

    Raises InputError if there is none, or there are several.
    """
    found = sorted(
        {path.resolve(): path for path in _candidates(folder) if _is_network(path)}.values()
    )
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{folder} holds several FLUX.1 networks: give --base one of "
            f"{', '.join(map(str, found))}."
        )
    raise InputError(
        f"{folder} is no diffusers folder (it has no model_index.json), and no FLUX.1 "
        "network is in it or in its "
        f"{', '.join(NETWORKS)}: give --base the path of a diffusers folder or of "
        "flux1-dev.safetensors."
    )


def is_dev(path: Path) -> bool:
    """Whether a diffusers folder or a single file holds a network as large as FLUX.1-dev's that is
    told the guidance, as schnell's is not.

    That is FLUX.1-dev, or was made from it.
    """
    if path.is_dir():
        config = json.loads((path / "transformer" / "config.json").read_text())
        size = (
            config["num_layers"],
            config["num_single_layers"],
            config["num_attention_heads"] * config["attention_head_dim"],
        )
        return size == (19, 38, 3072) and bool(config["guidance_embeds"])
    found = {name.removeprefix(ALL_IN_ONE): shape for name, shape in shapes(path).items()}
    last = {
        "double_blocks.18.img_mlp.0.weight",
        "single_blocks.37.linear1.weight",
        "guidance_in.in_layer.weight",
    }
    return last <= found.keys() and found.get("img_in.weight", (0,))[0] == 3072


def _candidates(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.safetensors")
    for place in (folder / name for name in (*NETWORKS, *(f"models/{name}" for name in NETWORKS))):
        yield from place.rglob("*.safetensors")


def _is_network(path: Path) -> bool:
    return not {FIRST, ALL_IN_ONE + FIRST}.isdisjoint(shapes(path))
