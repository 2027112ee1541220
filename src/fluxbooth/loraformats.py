"""LoRA files from one format to the other: diffusers' (`transformer.*`) and kohya's (`lora_unet_*`, ComfyUI's and Forge's too).

The two name the same layers of FLUX.1, but kohya's format follows the original network, which fuses layers that share their
input. Layers W_i x + B_i A_i x become the fused layer with

    A = [A_1; A_2; ...],    B = diag(B_1, B_2, ...),

exactly, at the sum of their ranks. The strength alpha / rank is multiplied into B and alpha is the stored rank, so that a
loader that misses it gets the strength right.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

import fluxbooth
from fluxbooth import lorafile
from fluxbooth.errors import InputError
from fluxbooth.files import save_tensors, tensors_sha256
from fluxbooth.lorafile import LoraFile
from fluxbooth.models.original import SHIFT_FIRST, heights, parts_of, place_of

Format = Literal["diffusers", "kohya"]
WRITERS = {"diffusers": "https://github.com/huggingface/diffusers", "kohya": "https://github.com/kohya-ss/sd-scripts"}
_ENDS = {
    "lora_A.weight": "down", "lora_down.weight": "down", "lora_B.weight": "up", "lora_up.weight": "up",
    "alpha": "alpha", "lora_magnitude_vector": "magnitude",
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """A LoRA on one Linear at strength 1: W x + up down x."""

    down: Tensor  # A, rank x inputs
    up: Tensor  # B, outputs x rank
    magnitude: Tensor | None = None  # DoRA's length of each row, (outputs,)

    @property
    def rank(self) -> int:
        return len(self.down)


def convert(source: str | Path, target: str | Path, to: Format) -> dict[str, Any]:
    """Writes the LoRA file `source` as `target` in the format `to`, which may be its own: then only alpha is made equal to rank.

    Returns {"path", "format", "rank", "layers", "left_out"}; `left_out` names layers of text encoders, which Fluxbooth does not
    train. Raises InputError, with nothing written, for a file that is no FLUX.1 LoRA, for a DoRA that shall become kohya's,
    and for a target that exists.
    """
    target = Path(target)
    if target.exists():
        raise InputError(f"{target} exists: choose another name, nothing is replaced.")
    if target.suffix != ".safetensors" or not target.parent.is_dir():
        raise InputError(f"{target} cannot be the result: give a name in an existing folder that ends in .safetensors.")
    file = lorafile.read(source)
    layers, left_out = read(file)
    tensors = to_kohya(layers, file.path) if to == "kohya" else to_diffusers(layers)
    save_tensors(target, tensors, _metadata(file, layers, tensors, to))
    return {"path": str(target), "format": to, "rank": _usual_rank(layers), "layers": len(layers), "left_out": left_out}


def run(options: argparse.Namespace) -> dict[str, Any]:
    """`fluxbooth lora convert`."""
    done = convert(options.file, options.result, options.to)
    for name in done["left_out"]:
        print(f"Left out {name}: LoRAs of text encoders are not converted.", file=sys.stderr)
    if not options.json:
        print(f"{done['path']}: {done['format']}, rank {done['rank']}, {done['layers']} layers")
    return done


def read(file: LoraFile) -> tuple[dict[str, Layer], list[str]]:
    """A file's layers by diffusers' names without the prefix, whatever its format, and the names of those of text encoders."""
    grouped: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load_file(file.path).items():
        end = next(end for end in _ENDS if name.endswith(f".{end}"))
        grouped.setdefault(name.removesuffix(f".{end}"), {})[_ENDS[end]] = tensor
    left_out = sorted(name for name in grouped if name.startswith("lora_te"))
    strengths = _Strengths(file)
    layers: dict[str, Layer] = {}
    for name in sorted(grouped.keys() - set(left_out)):
        layer = _layer(file, name, grouped[name], strengths)
        layers |= {name.removeprefix("transformer."): layer} if name.startswith("transformer.") else _from_kohya(file, name, layer)
    if not layers:
        raise InputError(f"{file.path} holds nothing for FLUX.1's own network: use a LoRA made for FLUX.1.")
    return layers, left_out


def _layer(file: LoraFile, name: str, found: dict[str, Tensor], strengths: _Strengths) -> Layer:
    down, up, alpha = (found.get(key) for key in ("down", "up", "alpha"))
    single = alpha is None or alpha.numel() == 1
    if down is None or up is None or not single or not down.ndim == up.ndim == 2 or up.shape[1] != len(down):
        raise InputError(f"{file.path} holds {name} in halves that do not fit each other: download or train it again.")
    strength = strengths.of(name, len(down), None if alpha is None else alpha.item())
    return Layer(down, up if strength == 1 else (up.float() * strength).to(up.dtype), found.get("magnitude"))


class _Strengths:
    """alpha / rank as loaders find it: the layer's own alpha, else what diffusers' metadata says, else 1."""

    def __init__(self, file: LoraFile) -> None:
        try:
            told = json.loads(file.metadata.get("lora_adapter_metadata", "{}"))
            config = {key.removeprefix("transformer."): value for key, value in told.items()}
            patterns = {key.removeprefix("^"): float(value) for key, value in (config.get("alpha_pattern") or {}).items()}
            alpha = float(config["lora_alpha"]) if config.get("lora_alpha") is not None else None
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{file.path} has damaged metadata (lora_adapter_metadata): download or train it again.") from error
        if not all(re.fullmatch(r"[\w.]+", key) for key in patterns):  # peft would read them as regular expressions
            raise InputError(f"{file.path} gives alpha by patterns instead of layers: save it again with diffusers' save_lora_weights.")
        self._alpha, self._patterns, self._root = alpha, patterns, bool(config.get("use_rslora"))

    def of(self, name: str, rank: int, alpha: float | None) -> float:
        if alpha is not None:
            return alpha / rank
        own = (value for key, value in self._patterns.items() if name.endswith(f".{key}"))
        told = next(own, self._alpha) if name.startswith("transformer.") else None
        return 1.0 if told is None else told / (rank**0.5 if self._root else rank)


def _from_kohya(file: LoraFile, name: str, layer: Layer) -> dict[str, Layer]:
    parts = parts_of(name.removeprefix("lora_unet_"))
    if parts is None:
        raise InputError(f"{file.path} holds {name}, which FLUX.1 does not have: use a LoRA made for FLUX.1.")
    if len(parts) == 1:
        return {parts[0]: _swapped(layer) if parts[0] == SHIFT_FIRST else layer}
    if len(layer.up) != sum(_heights(len(parts), layer)):
        raise InputError(f"{file.path} gives {name} {len(layer.up)} outputs, which FLUX.1 does not: use a LoRA made for FLUX.1.")
    return {part: piece for part, piece in zip(parts, _split(layer, len(parts)), strict=True) if piece}


def _heights(parts: int, layer: Layer) -> list[int]:
    return heights(parts, layer.down.shape[1])


def _split(layer: Layer, count: int) -> list[Layer | None]:
    """The parts of a fused layer: of a block-diagonal one with their own rank, None where all is padding; else with all of A."""
    rows = layer.up.split(_heights(count, layer))
    rank = layer.rank // count
    blocks = [row.split(rank, 1) for row in rows] if rank * count == layer.rank else []
    if not blocks or any(blocks[i][j].any() for i in range(count) for j in range(count) if i != j):
        return [Layer(layer.down.clone(), row.clone()) for row in rows]  # a file takes no tensors that share memory
    return [_trimmed(Layer(down, blocks[i][i])) for i, down in enumerate(layer.down.split(rank))]


def _trimmed(layer: Layer) -> Layer | None:
    """Without the zeros that brought the parts of a fused layer to one rank."""
    kept = layer.down.any(1) | layer.up.any(0)
    return Layer(layer.down[kept], layer.up[:, kept]) if kept.any() else None


def _merged(parts: Sequence[Layer | None]) -> Layer:
    """The fused layer of its parts. Their ranks are made equal with zeros: loaders look for blocks of one size."""
    present = [part for part in parts if part is not None]
    first = present[0]
    if len(present) == len(parts) and all(torch.equal(part.down, first.down) for part in present):
        return Layer(first.down, torch.cat([part.up for part in present]))  # they were one layer before
    rank = max(part.rank for part in present)
    downs, ups = [], []
    for part, height in zip(parts, _heights(len(parts), first), strict=True):
        down, up = first.down.new_zeros(rank, first.down.shape[1]), first.up.new_zeros(height, rank)
        if part is not None:
            down, up = down.to(part.down.dtype), up.to(part.up.dtype)
            down[: part.rank], up[:, : part.rank] = part.down, part.up
        downs.append(down)
        ups.append(up)
    return Layer(torch.cat(downs), torch.block_diag(*ups))


def _swapped(layer: Layer) -> Layer:
    return replace(layer, up=torch.cat(layer.up.chunk(2)[::-1]))


def to_diffusers(layers: dict[str, Layer]) -> dict[str, Tensor]:
    """Tensors by their names in a diffusers file."""
    tensors: dict[str, Tensor] = {}
    for name, layer in layers.items():
        tensors[f"transformer.{name}.lora_A.weight"] = layer.down.contiguous()
        tensors[f"transformer.{name}.lora_B.weight"] = layer.up.contiguous()
        if layer.magnitude is not None:
            tensors[f"transformer.{name}.lora_magnitude_vector"] = layer.magnitude
    return tensors


def to_kohya(layers: dict[str, Layer], path: Path) -> dict[str, Tensor]:
    """Tensors by their names in a kohya file. Raises InputError, naming `path`, for what that format cannot hold."""
    if any(layer.magnitude is not None for layer in layers.values()):
        raise InputError(
            f"{path} is a DoRA, whose magnitudes loaders of kohya's FLUX.1 format drop in silence: keep it in diffusers' format, "
            "or train it without DoRA."
        )
    fused: dict[str, list[Layer | None]] = {}
    for name, layer in layers.items():
        found = place_of(name)
        if found is None:
            raise InputError(f"{path} holds {name}, which FLUX.1 does not have: use a LoRA made for FLUX.1.")
        original, place, count = found
        if count > 1 and len(layer.up) != _heights(count, layer)[place]:
            raise InputError(f"{path} gives {name} {len(layer.up)} outputs, which FLUX.1 does not: use a LoRA made for FLUX.1.")
        fused.setdefault(original, [None] * count)[place] = _swapped(layer) if name == SHIFT_FIRST else layer
    tensors: dict[str, Tensor] = {}
    for original, parts in fused.items():
        layer = _merged(parts) if len(parts) > 1 or parts[0] is None else parts[0]
        name = "lora_unet_" + original.replace(".", "_")
        tensors[f"{name}.lora_down.weight"] = layer.down.contiguous()
        tensors[f"{name}.lora_up.weight"] = layer.up.contiguous()
        tensors[f"{name}.alpha"] = torch.tensor(float(layer.rank))
    return tensors


def _usual_rank(layers: dict[str, Layer]) -> int:
    return Counter(layer.rank for layer in layers.values()).most_common(1)[0][0]


def _metadata(file: LoraFile, layers: dict[str, Layer], tensors: dict[str, Tensor], to: Format) -> dict[str, str]:
    """The file's own, with what the conversion changed."""
    digest, rank = tensors_sha256(tensors), _usual_rank(layers)
    changed = {
        "format": "pt",
        "fluxbooth": json.dumps({"version": fluxbooth.__version__} | file.ours | {"format": to}),
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "sshs_model_hash": digest,
        "modelspec.hash_sha256": f"0x{digest}",
        "modelspec.implementation": WRITERS[to],
    }
    kept = {key: value for key, value in file.metadata.items() if key not in ("lora_adapter_metadata", "sshs_legacy_hash")}
    if to == "diffusers":
        changed["lora_adapter_metadata"] = json.dumps(_adapter_metadata(layers, rank), sort_keys=True)
    return kept | changed


def _adapter_metadata(layers: dict[str, Layer], rank: int) -> dict[str, Any]:
    other = {f"^{name}": layer.rank for name, layer in layers.items() if layer.rank != rank}
    config = {
        "r": rank, "lora_alpha": rank, "rank_pattern": other, "alpha_pattern": other, "target_modules": sorted(layers),
        "use_dora": any(layer.magnitude is not None for layer in layers.values()), "lora_dropout": 0.0, "bias": "none",
    }  # fmt: skip
    return {f"transformer.{key}": value for key, value in config.items()}
