"""LoRA files as files: what is in one, and whether it is safe to open and fit to use. Needs no
torch.

A safetensors file is 8 bytes of header length, a JSON header (name -> dtype, shape, offsets), and
the numbers. Nothing in it is ever executed; what is not one (a pickle, an archive) is refused.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fluxbooth.errors import InputError
from fluxbooth.lora import names as lora_names
from fluxbooth.lora.names import Group, NoLora
from fluxbooth.lora.strength import Strengths
from fluxbooth.models import registry
from fluxbooth.models.base import Base

# bytes: a LoRA on every Linear of FLUX.1 needs 120 kB, the tags of 20,000 pictures in kohya's a
# megabyte
LARGEST_HEADER = 4 * 2**20
# of each dtype: bytes, numpy's integer of that size, bits without the sign, and the least of these
# that is infinite or no number
DTYPES: dict[str, tuple[int, Any, int, int]] = {
    "F32": (4, np.uint32, 0x7FFFFFFF, 0x7F800000),
    "F16": (2, np.uint16, 0x7FFF, 0x7C00),
    "BF16": (2, np.uint16, 0x7FFF, 0x7F80),
    "F8_E4M3": (1, np.uint8, 0x7F, 0x7F),
    "F8_E5M2": (1, np.uint8, 0x7F, 0x7C),
    # what some trainers keep an alpha in; all whole numbers are finite
    "F64": (8, np.uint64, 2**63 - 1, 0x7FF << 52),
    "I64": (8, np.uint64, 0, 1),
    "I32": (4, np.uint32, 0, 1),
}
WEIGHTS = ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
TENSOR_NAME = re.compile(r"[^\x00-\x1f\x7f/\\]{1,300}")
MOST_DIMENSIONS = 5
CHUNK = 2**20  # numbers looked at together
PICKLE, ZIP = re.compile(rb"\x80[\x02-\x05]"), b"PK"


@dataclass(frozen=True)
class LoraFile:
    path: Path
    shapes: dict[str, tuple[int, ...]]
    metadata: dict[str, str]
    begin: int  # bytes of header; the numbers follow in the order of `shapes`
    dtypes: dict[str, str]  # in the same order
    groups: tuple[Group, ...]  # what is stored of each layer
    left_out: tuple[str, ...]  # layers of text encoders, which are not used
    strengths: Strengths
    family: str  # whose layers these are

    @property
    def model(self) -> str:
        """The network that it was made for, as people call it."""
        return registry.FAMILIES[self.family].layers.model

    @property
    def format(self) -> str:
        """How most of its layers are named: diffusers, kohya, original, onetrainer, lycoris or
        xlabs."""
        return Counter(group.naming for group in self.groups).most_common(1)[0][0]

    @property
    def kind(self) -> str:
        """LoRA, LoHa or LoKr, or DoRA of one of them."""
        kinds = "/".join(sorted({group.kind for group in self.groups}))
        return (
            kinds
            if not any("magnitude" in group.tensors for group in self.groups)
            else f"DoRA ({kinds})"
        )

    @property
    def rank(self) -> int:
        """The largest; in kohya's format the usual one, because its fused layers have the sum
        of their parts' ranks."""
        ranks = [group.rank for group in self.groups]
        return Counter(ranks).most_common(1)[0][0] if self.format == "kohya" else max(ranks)

    @property
    def ours(self) -> dict[str, Any]:
        """What Fluxbooth wrote into it, empty for a file from elsewhere.

        Raises InputError if that is damaged.
        """
        try:
            told = json.loads(self.metadata.get("fluxbooth", "{}"))
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict) or not isinstance(told.get("spec", {}), dict):
            raise InputError(
                f"{self.path} has damaged metadata (fluxbooth): download or train it again."
            )
        return told

    @property
    def spec(self) -> dict[str, Any]:
        """The TrainSpec that made it, empty for a file from elsewhere."""
        return self.ours.get("spec", {})

    @property
    def trigger(self) -> str | None:
        return self.metadata.get("modelspec.trigger_phrase")

    def sha256(self) -> str:
        """What kohya's tools know a file by (`sshs_model_hash`): what its header says, else the
        hash of its numbers."""
        told = self.metadata.get("sshs_model_hash", "")
        if re.fullmatch(r"[0-9a-f]{64}", told):
            return told
        with self.path.open("rb") as file:
            file.seek(self.begin)
            return hashlib.file_digest(file, "sha256").hexdigest()

    def describe(self) -> dict[str, Any]:
        parameters = sum(math.prod(shape) for shape in self.shapes.values())
        return {
            "path": str(self.path),
            "model": self.model,
            "format": self.format,
            "kind": self.kind,
            "rank": self.rank,
            "tensors": len(self.shapes),
            "parameters": parameters,
            "megabytes": round(self.path.stat().st_size / 1e6, 2),
            "trigger": self.trigger,
            "left_out": list(self.left_out),
            "spec": self.spec,
            "metadata": {
                k: v
                for k, v in self.metadata.items()
                if k not in ("fluxbooth", "lora_adapter_metadata")
            },
        }


def find(name: str, folders: Sequence[Path] = ()) -> Path:
    """The file of a LoRA given as a path or as a name.

    Raises InputError with the places that were searched.
    """
    if Path(name).is_file():
        return Path(name)
    library = os.environ.get("FLUXBOOTH_LORAS")
    places = [*folders, *([Path(library)] if library else [])]
    for place in places:
        for candidate in (
            place / name,
            place / f"{name}.safetensors",
            place / name / "ohwx.safetensors",
        ):
            if candidate.is_file():
                return candidate
    searched = ", ".join(str(place) for place in places) or "no folder (set FLUXBOOTH_LORAS)"
    raise InputError(
        f"There is no LoRA {name!r}: give the path of a .safetensors file; searched {searched}."
    )


def read(path: str | Path, base: Base | None = None) -> LoraFile:
    """A LoRA file by its header: safe to open, of the layers of a network that Fluxbooth runs (of
    the base's kind, where one is given), and in a format that is read.

    Raises InputError, naming the file, if it is not.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"There is no LoRA file {path}: check the path, it usually ends in .safetensors."
        )
    try:
        begin, header = _header(path)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise NoLora("has damaged metadata: download or train it again.")
        _check_tensors(header, path.stat().st_size - begin)
        entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"])
        shapes = {name: tuple(entry["shape"]) for name, entry in entries}
        found = lora_names.read(shapes, metadata, base and base.family)
        if base is not None and found.family != base.family:
            raise NoLora(_for_another(found.family, lora_names.header(metadata), base))
        dtypes = {name: entry["dtype"] for name, entry in entries}
        _check_dtypes(found.groups, dtypes)
        return LoraFile(
            path,
            shapes,
            metadata,
            begin,
            dtypes,
            found.groups,
            found.left_out,
            Strengths(metadata, path),
            found.family,
        )
    except NoLora as error:
        raise InputError(f"{path} {error}") from error


def _for_another(family: str, header: str, base: Base) -> str:
    names, other = registry.FAMILIES[family].layers, registry.FAMILIES[base.family].layers.model
    said = f", as its header says ({header!r})" if names.named_in(header) else ""
    return (
        f"is a LoRA for {names.model}{said}, and {Path(base.name).name} is {other}: use it with a "
        f"base of {names.model}, or one that was made for {other}."
    )


def check_fits(file: LoraFile, sizes: Mapping[str, tuple[int, int]], base: str) -> None:
    """Raises InputError if a LoRA was made for another network than that of a base, whose
    layers have these outputs and inputs."""
    for group in file.groups:
        found = [sizes.get(part) for part in group.parts]
        expected = [(outputs, group.inputs) for outputs in group.heights]
        if found == expected:
            continue
        there = (
            "no such layer"
            if None in found
            else f"{sum(size[0] for size in found if size)} and {found[0][1] if found[0] else 0}"
        )
        raise InputError(
            f"{file.path} was made for another architecture than {base}: {group.name} has "
            f"{group.outputs} outputs and {group.inputs} inputs there, {base} has {there}. Use it "
            "with the base it was trained on."
        )


def check_numbers(file: LoraFile) -> None:
    """Raises InputError if a number of a LoRA is infinite or none at all (NaN): it would draw
    black pictures."""
    with file.path.open("rb") as opened:
        opened.seek(file.begin)
        for name, shape in file.shapes.items():
            dtype, left = file.dtypes[name], math.prod(shape)
            size, kind, without_sign, infinite = DTYPES[dtype]
            while left:
                numbers: Any = np.frombuffer(opened.read(size * min(left, CHUNK)), kind)
                _refuse_unless(bool((numbers & without_sign).max() < infinite), file, name)
                left -= len(numbers)


def _refuse_unless(sound: bool, file: LoraFile, name: str) -> None:
    if not sound:
        raise InputError(
            f"{file.path} holds numbers that are infinite or none at all (NaN) in {name}: "
            "download or train it again."
        )


def _header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the numbers begin, and what is said of them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        first = file.read(9)
        length = struct.unpack("<Q", first[:8])[0] if len(first) == 9 else 0
        fits, brace = 2 <= length <= size - 8, first[8:] == b"{"
        # the length of a sound header may begin as a pickle or an archive does, but nothing else
        # has a header of that length behind it
        if not (fits and brace):
            if PICKLE.match(first) or first.startswith(ZIP):
                raise NoLora(
                    "is a pickle or an archive, which may run code: use a .safetensors file."
                )
            told = "an unreadable header" if fits else f"a header that would be {length} bytes long"
            raise NoLora(f"is not a safetensors file (it has {told}): download or train it again.")
        if length > LARGEST_HEADER:
            raise NoLora(
                f"has a header of {length} bytes, and at most {LARGEST_HEADER} are read: "
                "save it without the training's metadata."
            )
        text = b"{" + file.read(length - 1)
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise NoLora("has an unreadable header: download or train it again.") from error
    return 8 + length, header


def _check_tensors(header: dict[str, Any], data: int) -> None:
    """Names, dtypes, shapes and offsets make sense, and the offsets tile the file's bytes of
    data without gap or overlap."""
    spans = []
    for name, entry in header.items():
        if not TENSOR_NAME.fullmatch(name):
            raise NoLora(
                f"holds {name[:80]!r}, which is no part of a LoRA: download or train it again."
            )
        try:
            dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
            start, end = offsets
            # a bool is an int to Python, and 8.0 equals 8
            whole = (
                all(type(n) is int for n in (*shape, start, end)) and len(shape) <= MOST_DIMENSIONS
            )
            of_one = DTYPES[dtype][0] if dtype in DTYPES else None
        except (KeyError, TypeError, ValueError) as error:
            raise NoLora(
                f"describes {name[:80]!r} in a way no LoRA is: download or train it again."
            ) from error
        if of_one is None:
            raise NoLora(
                f"keeps {name[:80]!r} as {str(dtype)[:20]}: save it as F32, BF16, F16 or F8."
            )
        if not whole or not all(n > 0 for n in shape) or end - start != of_one * math.prod(shape):
            raise NoLora(
                f"gives {name[:80]!r} a size that does not fit: download or train it again."
            )
        spans.append((start, end))
    if not spans:
        raise NoLora("holds no tensors: download or train it again.")
    spans.sort()
    if (
        spans[0][0] != 0
        or spans[-1][1] != data
        or any(a[1] != b[0] for a, b in itertools.pairwise(spans))
    ):
        raise NoLora("is cut short or its tensors overlap: download or train it again.")


def _check_dtypes(groups: Sequence[Group], dtypes: Mapping[str, str]) -> None:
    for group in groups:
        for role, name in group.tensors.items():
            if role != "alpha" and dtypes[name] not in WEIGHTS:
                raise NoLora(
                    f"keeps {name[:80]!r} as {dtypes[name]}: save it as F32, BF16, F16 or F8."
                )
