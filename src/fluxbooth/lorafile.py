"""LoRA files as files: what is in one, and whether it is safe to open. Reads only the header; needs no torch.

A safetensors file is 8 bytes of header length, a JSON header (name -> dtype, shape, offsets), and the numbers. Nothing in
it is ever executed, and what is not one (a pickle, an archive) is refused by its first bytes.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fluxbooth.errors import InputError

LARGEST_HEADER = 2**20  # bytes: a LoRA on every Linear of FLUX.1 needs 120 kB
DTYPE_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
TENSOR_NAME = re.compile(
    r"(transformer|lora_unet|lora_te\d?)[\w.]{1,200}\.(lora_[AB]\.weight|lora_(up|down)\.weight|alpha|lora_magnitude_vector)"
)


@dataclass(frozen=True)
class LoraFile:
    path: Path
    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    begin: int  # bytes of header; the numbers follow in the order of `shapes`
    dtypes: frozenset[str]

    @property
    def format(self) -> Literal["diffusers", "kohya"]:
        return "kohya" if any(name.startswith("lora_unet") for name in self.shapes) else "diffusers"

    @property
    def rank(self) -> int:
        """The largest; in kohya's format the usual one, because its fused layers have the sum of their parts' ranks."""
        ranks = [shape[0] for name, shape in self.shapes.items() if name.endswith(("lora_A.weight", "lora_down.weight"))]
        return Counter(ranks).most_common(1)[0][0] if ranks and self.format == "kohya" else max(ranks, default=0)

    @property
    def ours(self) -> dict[str, Any]:
        """What Fluxbooth wrote into it, empty for a file from elsewhere. Raises InputError if that is damaged."""
        try:
            told = json.loads(self.metadata.get("fluxbooth", "{}"))
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or not isinstance(told.get("spec", {}), dict):
            raise InputError(f"{self.path} has damaged metadata (fluxbooth): download or train it again.")
        return told

    @property
    def spec(self) -> dict[str, Any]:
        """The TrainSpec that made it, empty for a file from elsewhere."""
        return self.ours.get("spec", {})

    @property
    def trigger(self) -> str | None:
        return self.metadata.get("modelspec.trigger_phrase")

    def describe(self) -> dict[str, Any]:
        parameters = sum(math.prod(shape) for shape in self.shapes.values())
        return {
            "path": str(self.path), "format": self.format, "rank": self.rank, "tensors": len(self.shapes), "parameters": parameters,
            "megabytes": round(self.path.stat().st_size / 1e6, 2), "trigger": self.trigger, "spec": self.spec,
            "metadata": {k: v for k, v in self.metadata.items() if k not in ("fluxbooth", "lora_adapter_metadata")},
        }  # fmt: skip


def find(name: str, folders: Sequence[Path] = ()) -> Path:
    """The file of a LoRA given as a path or as a name. Raises InputError with the places that were searched."""
    if Path(name).is_file():
        return Path(name)
    shelf = os.environ.get("FLUXBOOTH_LORAS")
    places = [*folders, *([Path(shelf)] if shelf else [])]
    for place in places:
        for candidate in (place / name, place / f"{name}.safetensors", place / name / "ohwx.safetensors"):
            if candidate.is_file():
                return candidate
    searched = ", ".join(str(place) for place in places) or "no folder (set FLUXBOOTH_LORAS)"
    raise InputError(f"There is no LoRA {name!r}: give the path of a .safetensors file; searched {searched}.")


def read(path: str | Path) -> LoraFile:
    """The header of a LoRA file. Raises InputError, naming the file, if it is none or is not safe to open."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no LoRA file {path}: check the path, it usually ends in .safetensors.")
    begin, header = _header(path)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise InputError(f"{path} has damaged metadata: download or train it again.")
    _check_tensors(path, header, path.stat().st_size - begin)
    entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
    shapes = {name: tuple(entry["shape"]) for name, entry in entries}
    return LoraFile(path, shapes, metadata, begin, frozenset(entry["dtype"] for _, entry in entries))


def read_to_use(path: str | Path) -> LoraFile:
    """As `read`, of a LoRA to draw with or to train on: one in diffusers' format."""
    file = read(path)
    if file.format == "kohya":
        raise InputError(f"{path} is in kohya's format: run `fluxbooth lora convert {path} NEW.safetensors --to diffusers` and use that.")
    return file


def read_to_train_on(path: str | Path, rank: int) -> LoraFile:
    """As `read_to_use`, of a LoRA of the rank that is to be trained."""
    file = read_to_use(path)
    if file.rank != rank:
        raise InputError(f"{path} has rank {file.rank}, not {rank}: add --rank {file.rank} to train it on.")
    return file


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the numbers begin, and what is said of them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(8)
        if first[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
            raise InputError(f"{path} is a pickle or an archive, which may run code: use a .safetensors file.")
        length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
        if not 2 <= length <= min(LARGEST_HEADER, size - 8):
            raise InputError(f"{path} is not a safetensors file (its header would be {length} bytes long): download or train it again.")
        text = file.read(length)
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} has an unreadable header: download or train it again.") from error
    if not isinstance(header, dict) or not header:
        raise InputError(f"{path} holds no tensors: download or train it again.")
    return 8 + length, header


def _check_tensors(path: Path, header: dict[str, Any], data: int) -> None:
    """Names, dtypes, shapes and offsets are as a LoRA's are, and the offsets tile the file's bytes of data without gap or overlap."""
    spans = []
    for name, entry in header.items():
        if not TENSOR_NAME.fullmatch(name):
            raise InputError(f"{path} holds {name[:80]!r}, which is no part of a FLUX LoRA: use a LoRA made for FLUX.")
        try:
            dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            expected = DTYPE_BYTES[dtype] * math.prod(shape)
            sound = all(isinstance(n, int) and n > 0 for n in shape) and len(shape) <= 2 and end - start == expected
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path} describes {name[:80]!r} in a way no LoRA is: download or train it again.") from error
        if not sound:
            raise InputError(f"{path} gives {name[:80]!r} a size that does not fit: download or train it again.")
        spans.append((start, end))
    spans.sort()
    if not spans or spans[0][0] != 0 or spans[-1][1] != data or any(a[1] != b[0] for a, b in itertools.pairwise(spans)):
        raise InputError(f"{path} is cut short or its tensors overlap: download or train it again.")
