"""Contents of safetensors files, from their headers alone: no torch, no weights."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

from fluxbooth.errors import InputError

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
