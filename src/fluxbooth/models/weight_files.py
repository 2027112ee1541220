"""Contents of safetensors files, from their headers alone: no torch, no weights."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

from fluxbooth.errors import InputError

Shapes = Mapping[str, tuple[int, ...]]
LARGEST_HEADER = 100_000_000  # bytes, as in the format's own library
# what ComfyUI's quantised files keep beside the weights, older and newer; of these only the factors
# of a weight matter here
QUANTISER_KEYS = (
    ".scale_weight",
    ".weight_scale",
    ".weight_scale_2",
    ".scale_input",
    ".input_scale",
    ".comfy_quant",
    "scaled_fp8",
)


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of a safetensors file's tensors by their names.

    Raises InputError, naming the file, if it is none.
    """
    try:
        with path.open("rb") as file:
            first = file.read(8)
            if first.startswith(b"GGUF"):
                raise gguf_error(path)
            (length,) = struct.unpack("<Q", first)
            if length > LARGEST_HEADER:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        return {name: tuple(row["shape"]) for name, row in header.items() if name != "__metadata__"}
    except (OSError, ValueError, struct.error, AttributeError, TypeError, KeyError) as error:
        raise InputError(
            f"{path} cannot be read as a safetensors file ({error}): check the path or "
            "download it again."
        ) from error


def gguf_error(path: Path) -> InputError:
    """Why a GGUF file will not do, and the remedy."""
    return InputError(
        f"{path} is a GGUF file, which Fluxbooth does not read: use the model's .safetensors file "
        "(bf16 or fp8); with --quantisation it takes as little memory."
    )


def numbers(folder: Path) -> int:
    """How many numbers the safetensors files of a folder hold."""
    return sum(count(shapes(path)) for path in folder.glob("*.safetensors"))


def count(found: Shapes) -> int:
    """How many numbers tensors hold, without what a quantiser keeps beside them."""
    return sum(
        math.prod(shape) for name, shape in found.items() if not name.endswith(QUANTISER_KEYS)
    )


def under(found: Shapes, prefix: str) -> Shapes:
    """The tensors under a prefix by their names without it, or all if none are."""
    within = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
    return within or found


def numbered(found: Shapes, prefix: str) -> int:
    """How many layers are numbered after a prefix."""
    return len(
        {name.removeprefix(prefix).split(".")[0] for name in found if name.startswith(prefix)}
    )
