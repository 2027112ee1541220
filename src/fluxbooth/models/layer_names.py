"""Names of a network's Linear layers: the original authors', and those of diffusers for them.

The two differ in what they fuse: q, k and v of one input may be one layer here and three there.
Reading this loads no weights and no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

# a layer of diffusers', and how many outputs it has for each input; None: that is the base's matter
Part = tuple[str, Fraction | None]
Table = Mapping[str, tuple[Part, ...]]  # the original's layer -> those that it is fused of
# outputs are (scale, shift) in diffusers, (shift, scale) in the original networks
SHIFT_FIRST = "norm_out.linear"
FOLDERS = {"double_blocks": "transformer_blocks", "single_blocks": "single_transformer_blocks"}
_BLOCK = re.compile(
    r"(double_blocks|single_blocks|single_transformer_blocks|transformer_blocks)[._](\d+)[._](.+)"
)


@dataclass(frozen=True)
class LayerNames:
    """Of the networks of one family. Names are given with dots, or with underscores for all or some
    of them."""

    model: str  # as people call it
    in_headers: str  # a pattern of how headers of LoRA files call it
    double: Table  # of a block of two streams, by the original's names
    single: Table  # of a block of one
    outside: Table  # of no block
    # scales of the norms of queries and keys, which no LoRA adapts
    double_norms: Mapping[str, str]
    single_norms: Mapping[str, str]
    # what diffusers itself can fuse in a double block
    fused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # what XLabs' files call LoRAs of a block's layers, by the block's folder and name
    processors: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def named_in(self, header: str) -> bool:
        """Whether what the header of a LoRA file says is this network."""
        return re.search(self.in_headers, header, re.IGNORECASE) is not None

    def parts_of(self, original: str) -> tuple[str, ...] | None:
        """diffusers' layers that an original's (`double_blocks.0.img_attn.qkv`) is fused of; None
        if there is no such one."""
        folder, number, rest = _split(original)
        return _within(FOLDERS.get(folder, ""), number, self._originals.get((folder, rest)))

    def layers_of(self, name: str) -> tuple[str, ...] | None:
        """diffusers' layer of that name, or those that it fuses under that name; None if there is
        none."""
        folder, number, rest = _split(name)
        return _within(folder, number, self._own.get((folder, rest)))

    def processed_by(self, name: str) -> tuple[str, ...] | None:
        """diffusers' layers that a LoRA by XLabs' name (`double_blocks.0.processor.qkv_lora1`)
        adapts; None if there is no such one."""
        block = re.fullmatch(r"(double_blocks|single_blocks)\.(\d+)\.processor\.(\w+)", name)
        if block is None:
            return None
        return _within(FOLDERS[block[1]], block[2], self.processors.get((block[1], block[3])))

    def place_of(self, layer: str) -> tuple[str, int, int]:
        """The original's layer that diffusers' `layer` is in, which of its parts it is, and how
        many there are. Raises KeyError if there is none."""
        folder, number, rest = _split(layer)
        original, place, parts = self._places[folder, rest]
        name = original if not folder else f"{_ORIGINAL_FOLDERS[folder]}.{number}.{original}"
        return name, place, len(parts)

    def ratio_of(self, layer: str) -> Fraction | None:
        """Outputs of diffusers' `layer` for each of its inputs; None where that is the base's
        matter."""
        folder, _, rest = _split(layer)
        _, place, parts = self._places[folder, rest]
        return parts[place][1]

    def sizes(self, doubles: int, singles: int, width: int) -> dict[str, tuple[int, int]]:
        """Outputs and inputs of each Linear of so many blocks by diffusers' name: one side of each
        is as wide as the network."""
        return {
            f"{FOLDERS[folder]}.{number}.{name}": _size(ratio, width)
            for folder, count in (("double_blocks", doubles), ("single_blocks", singles))
            for number in range(count)
            for parts in self._tables[folder].values()
            for name, ratio in parts
        }

    def norm_of(self, scale: str) -> str | None:
        """diffusers' name of a scale of the original's
        (`double_blocks.0.img_attn.norm.query_norm.scale`); None if there is no such one."""
        block = _BLOCK.fullmatch(scale)
        if block is None or block[1] not in FOLDERS:
            return None
        table = self.double_norms if block[1] == "double_blocks" else self.single_norms
        part = table.get(block[3])
        return None if part is None else f"{FOLDERS[block[1]]}.{block[2]}.{part}"

    @cached_property
    def _tables(self) -> dict[str, Table]:
        return {"": self.outside, "double_blocks": self.double, "single_blocks": self.single}

    @cached_property
    def _originals(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return {
            (folder, original.replace(".", "_")): tuple(name for name, _ in parts)
            for folder, table in self._tables.items()
            for original, parts in table.items()
        }

    @cached_property
    def _places(self) -> dict[tuple[str, str], tuple[str, int, tuple[Part, ...]]]:
        return {
            (FOLDERS.get(folder, ""), name.replace(".", "_")): (original, place, parts)
            for folder, table in self._tables.items()
            for original, parts in table.items()
            for place, (name, _) in enumerate(parts)
        }

    @cached_property
    def _own(self) -> dict[tuple[str, str], tuple[str, ...]]:
        single = {
            (folder, rest): (parts[place][0],)
            for (folder, rest), (_, place, parts) in self._places.items()
        }
        double = FOLDERS["double_blocks"]
        return single | {
            (double, name.replace(".", "_")): parts for name, parts in self.fused.items()
        }


_ORIGINAL_FOLDERS = {theirs: ours for ours, theirs in FOLDERS.items()}


def _split(name: str) -> tuple[str, str, str]:
    """Blocks' folder, number of the block, and the rest with underscores; of a layer outside them
    the first two are empty."""
    block = _BLOCK.fullmatch(name)
    folder, number, rest = block.groups() if block else ("", "", name)
    return folder, number, rest.replace(".", "_")


def _size(ratio: Fraction | None, width: int) -> tuple[int, int]:
    assert ratio is not None  # of all in blocks it is known
    return (int(ratio * width), width) if ratio >= 1 else (width, int(width / ratio))


def _within(folder: str, number: str, parts: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if parts is None or not folder:
        return parts
    return tuple(f"{folder}.{number}.{part}" for part in parts)
