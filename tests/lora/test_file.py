from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from fluxbooth import InputError
from fluxbooth.lora import file as lora_file

NAME = "transformer.transformer_blocks.0.attn.to_q.lora_{}.weight"


def small() -> dict[str, torch.Tensor]:
    return {NAME.format("A"): torch.zeros(4, 8), NAME.format("B"): torch.ones(8, 4)}


def forged(path: Path, header: Any, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    save_file(small(), tmp_path / "a.safetensors", {"modelspec.trigger_phrase": "ohwx cat"})
    file = lora_file.read(tmp_path / "a.safetensors")
    assert (file.rank, file.trigger) == (4, "ohwx cat")
    assert file.describe()["parameters"] == 64


def entry(
    start: int, end: int, shape: tuple[int, ...] = (2, 2), dtype: str = "F32"
) -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


A, B = NAME.format("A"), NAME.format("B")


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ({A: entry(0, 16), B: entry(8, 24)}, 24),  # overlap
        ({A: entry(0, 16), B: entry(20, 36)}, 36),  # gap
        ({A: entry(0, 16)}, 20),  # bytes that belong to nothing
        ({A: entry(0, 16)}, 12),  # cut short
        ({A: entry(0, 8)}, 8),  # shape and bytes differ
        ({A: entry(0, 16, (-2, -2))}, 16),
        ({A: entry(0, 32, (2, 2), "F64")}, 32),
        ({A: entry(0, 16, (2, 2, 1))}, 16),
        ({"../../etc/passwd": entry(0, 16)}, 16),
        ({"transformer.x\n.lora_A.weight": entry(0, 16)}, 16),
        ({A: {"dtype": "F32"}}, 0),
        ({A: 5}, 0),
        ({"__metadata__": {"a": 1}, A: entry(0, 16)}, 16),
        ({"__metadata__": {"a": "b"}}, 0),
        ([], 0),
        (b"{" * 50_000, 0),
        (b"\xff\xfe{}", 0),
    ],
)
def test_a_forged_header_is_refused_by_name(tmp_path: Path, header: Any, size: int) -> None:
    path = forged(tmp_path / "forged.safetensors", header, bytes(size))
    with pytest.raises(InputError, match=r"forged\.safetensors"):
        lora_file.read(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_bytes_do_more_than_be_refused(tmp_path: Path, noise: bytes, position: int) -> None:
    path = tmp_path / "noise.safetensors"
    save_file(small(), path)
    data = bytearray(path.read_bytes())
    data[position : position + len(noise)] = noise
    path.write_bytes(data)
    try:
        assert lora_file.read(path).shapes
    except InputError as error:
        assert "noise.safetensors" in str(error)
