"""LoRA files from one format to the other: diffusers' (`transformer.*`) and kohya's (`lora_unet_*`,
ComfyUI's and Forge's too).

The two name the same layers, but kohya's format follows the original network, which fuses layers
that share their input. Layers W_i x + B_i A_i x become the fused layer with

    A = [A_1; A_2; ...],    B = diag(B_1, B_2, ...),

exactly, at the sum of their ranks. The strength alpha / rank is multiplied into B and alpha is the
stored rank, so that a loader that misses it gets the strength right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from fluxbooth import files
from fluxbooth.errors import InputError
from fluxbooth.files import save_tensors, tensors_sha256
from fluxbooth.lora import file as lora_file
from fluxbooth.lora import layers as lora_layers
from fluxbooth.lora.file import LoraFile
from fluxbooth.lora.layers import Layer, LowRank
from fluxbooth.models import registry
from fluxbooth.models.layer_names import SHIFT_FIRST, LayerNames
from fluxbooth.version import __version__

Format = Literal["diffusers", "kohya"]
WRITERS = {
    "diffusers": "https://github.com/huggingface/diffusers",
    "kohya": "https://github.com/kohya-ss/sd-scripts",
}


def convert(source: str | Path, target: str | Path, to: Format) -> dict[str, Any]:
    """Writes the LoRA file `source` as `target` in the format `to`, which may be its own: then only
    alpha is made equal to rank.

    Returns {"path", "format", "rank", "layers", "left_out"}; `left_out` names layers of text
    encoders, which Fluxbooth does not train. Raises InputError, with nothing written, for a file
    that is no LoRA, for what the format cannot hold (a DoRA in kohya's; a LoHa or LoKr of a rank
    that is no low one in either), and for a target that exists.
    """
    target = Path(target)
    if target.exists():
        raise InputError(f"{target} exists: choose another name, nothing is replaced.")
    if target.suffix != ".safetensors" or not target.parent.is_dir():
        raise InputError(
            f"{target} cannot be the result: give a name in an existing folder that ends in "
            ".safetensors."
        )
    file = lora_file.read(source)
    layers = lora_layers.read(file)
    changes = {name: _of_low_rank(file, name, layer) for name, layer in layers.items()}
    tensors = (to_kohya if to == "kohya" else to_diffusers)(changes, layers, file)
    save_tensors(target, tensors, _metadata(file, changes, tensors, to))
    return {
        "path": str(target),
        "format": to,
        "rank": _usual_rank(changes),
        "layers": len(changes),
        "left_out": list(file.left_out),
    }


def for_comfyui(source: str | Path, folder: Path, name: str) -> Path:
    """Writes the LoRA file `source` into a ComfyUI's folder of LoRAs, called `name`, by the names
    that each version of it reads (kohya's); gives back where. No file is replaced."""
    stem, copy = files.folder_name(name), 2
    target = folder / f"{stem}.safetensors"
    while target.exists():
        target, copy = folder / f"{stem}-{copy}.safetensors", copy + 1
    convert(source, target, "kohya")
    return target


def _of_low_rank(file: LoraFile, name: str, layer: Layer) -> LowRank:
    change = layer.change.low_rank()
    outputs, inputs = len(change.up), change.down.shape[1]
    if (
        not isinstance(layer.change, LowRank)
        and change.rank * (outputs + inputs) > outputs * inputs
    ):
        raise InputError(
            f"{file.path} is a {file.kind} that changes {name} at rank {change.rank}, so as a LoRA "
            "it would be larger than the layer: use the file as it is, for generating and in the "
            "service."
        )
    return change


def to_diffusers(
    changes: dict[str, LowRank], layers: dict[str, Layer], file: LoraFile
) -> dict[str, Tensor]:
    """Tensors by their names in a diffusers file.

    Raises InputError, naming `file`, for what that format cannot hold.
    """
    tensors: dict[str, Tensor] = {}
    for name, change in changes.items():
        magnitude, bias = layers[name].magnitude, layers[name].bias
        if magnitude is not None and magnitude.ndim > 1:
            raise InputError(
                f"{file.path} is a DoRA with a magnitude for each input of {name}, and diffusers "
                "knows those of outputs alone: use the file as it is, for generating and in the "
                "service."
            )
        # copies: parts of a fused layer share memory, which a file cannot
        tensors[f"transformer.{name}.lora_A.weight"] = change.down.clone(
            memory_format=torch.contiguous_format
        )
        tensors[f"transformer.{name}.lora_B.weight"] = change.up.clone(
            memory_format=torch.contiguous_format
        )
        if magnitude is not None:
            tensors[f"transformer.{name}.lora_magnitude_vector"] = magnitude.clone()
        if bias is not None:
            tensors[f"transformer.{name}.lora_B.bias"] = bias.clone()
    return tensors


def to_kohya(
    changes: dict[str, LowRank], layers: dict[str, Layer], file: LoraFile
) -> dict[str, Tensor]:
    """Tensors by their names in a kohya file.

    Raises InputError, naming `file`, for what that format cannot hold.
    """
    if any(layer.magnitude is not None for layer in layers.values()):
        raise InputError(
            f"{file.path} is a DoRA, whose magnitudes loaders of kohya's format drop in silence: "
            "keep it in diffusers' format, or train it without DoRA."
        )
    if biased := next((name for name, layer in layers.items() if layer.bias is not None), None):
        raise InputError(
            f"{file.path} has a bias for {biased}, which kohya's format does not: keep it in "
            "diffusers' format."
        )
    names = registry.FAMILIES[file.family].layers
    tensors: dict[str, Tensor] = {}
    for original in dict.fromkeys(names.place_of(layer)[0] for layer in changes):
        parts = names.parts_of(original) or ()
        change = _merged([changes.get(part) for part in parts], parts, names)
        name = "lora_unet_" + original.replace(".", "_")
        tensors[f"{name}.lora_down.weight"] = change.down.contiguous()
        tensors[f"{name}.lora_up.weight"] = change.up.contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(float(change.rank))
    return tensors


def _merged(changes: Sequence[LowRank | None], parts: Sequence[str], names: LayerNames) -> LowRank:
    """The fused layer of its parts, whose ranks are made equal with zeros: loaders look for blocks
    of one size."""
    present = [change for change in changes if change is not None]
    first = present[0]
    if len(parts) == 1:
        return _swapped(first) if parts[0] == SHIFT_FIRST else first
    if len(present) == len(parts) and all(torch.equal(part.down, first.down) for part in present):
        # they were one layer before
        return LowRank(first.down, torch.cat([part.up for part in present]))
    rank, inputs = max(part.rank for part in present), first.down.shape[1]
    downs, ups = [], []
    for part, change in zip(parts, changes, strict=True):
        ratio = names.ratio_of(part)
        assert ratio is not None  # what is fused has as many outputs as its inputs tell
        down = first.down.new_zeros(rank, inputs)
        up = first.up.new_zeros(int(ratio * inputs), rank)
        if change is not None:
            down, up = down.to(change.down.dtype), up.to(change.up.dtype)
            down[: change.rank], up[:, : change.rank] = change.down, change.up
        downs.append(down)
        ups.append(up)
    return LowRank(torch.cat(downs), torch.block_diag(*ups))


def _swapped(change: LowRank) -> LowRank:
    return LowRank(change.down, torch.cat(change.up.chunk(2)[::-1]))


def _usual_rank(changes: dict[str, LowRank]) -> int:
    return Counter(change.rank for change in changes.values()).most_common(1)[0][0]


def _metadata(
    file: LoraFile, changes: dict[str, LowRank], tensors: dict[str, Tensor], to: Format
) -> dict[str, str]:
    """The file's own, with what the conversion changed."""
    digest, rank = tensors_sha256(tensors), _usual_rank(changes)
    changed = {
        "format": "pt",
        "fluxbooth": json.dumps({"version": __version__} | file.ours | {"format": to}),
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "sshs_model_hash": digest,
        "modelspec.hash_sha256": f"0x{digest}",
        "modelspec.implementation": WRITERS[to],
    }
    kept = {
        key: value
        for key, value in file.metadata.items()
        if key not in ("lora_adapter_metadata", "sshs_legacy_hash")
    }
    if to == "diffusers":
        changed["lora_adapter_metadata"] = json.dumps(
            _adapter_metadata(changes, tensors, rank), sort_keys=True
        )
    return kept | changed


def _adapter_metadata(
    changes: dict[str, LowRank], tensors: dict[str, Tensor], rank: int
) -> dict[str, Any]:
    other = {f"^{name}": change.rank for name, change in changes.items() if change.rank != rank}
    config = {
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": other,
        "alpha_pattern": other,
        "target_modules": sorted(changes),
        "use_dora": any(name.endswith("magnitude_vector") for name in tensors),
        "lora_dropout": 0.0,
        "bias": "none",
        "lora_bias": any(name.endswith("lora_B.bias") for name in tensors),
    }
    return {f"transformer.{key}": value for key, value in config.items()}
