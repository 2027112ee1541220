"""Files of ncnn, read."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from fluxbooth.errors import FluxboothError
from fluxbooth.generation.enhance import ncnn_weights

PARAM = """7767517
4 4
Input     in      0 1 data
Split     split   1 2 data a b
Convolution one   1 1 a c 0=3 1=1 4=0 5=1 6=3 9=2 -23310=1,2.000000e-01
PReLU     two     1 1 c d 0=3
Convolution three 1 1 d e 0=1 1=3 11=1 5=0 6=9
"""
HALF = np.array([1.5, -2, 0.25], "<f2").tobytes() + b"\0\0"  # filled up to whole words
BIAS, SLOPES = np.array([1, 2, 3], "<f4"), np.array([0.1, 0.2, 0.3], "<f4")
FULL = np.arange(9, dtype="<f4")
BINARY = b"".join(
    [
        struct.pack("<I", ncnn_weights.FLOAT16),
        HALF,
        BIAS.tobytes(),
        SLOPES.tobytes(),
        struct.pack("<I", ncnn_weights.FLOAT32),
        FULL.tobytes(),
    ]
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "net.param").write_text(PARAM)
    (tmp_path / "net.bin").write_bytes(BINARY)
    return tmp_path / "net.param", tmp_path / "net.bin"


def test_weights_biases_and_slopes_in_order_and_shape(files: tuple[Path, Path]) -> None:
    found = ncnn_weights.read(*files)
    assert [tuple(tensor.shape) for tensor in found] == [(3, 1, 1, 1), (3,), (3,), (1, 3, 1, 3)]
    assert found[0].flatten().tolist() == [1.5, -2, 0.25]
    assert np.array_equal(found[1], BIAS) and np.array_equal(found[2], SLOPES)
    assert np.array_equal(found[3].flatten(), FULL)


@pytest.mark.parametrize(
    ("param", "binary"),
    [
        (PARAM, BINARY[:-4]),
        (PARAM, BINARY + b"\0\0\0\0"),
        (PARAM, b"\x01\0\0\0" + BINARY[4:]),
        (PARAM.replace("7767517", "1"), BINARY),
        ("", BINARY),
        (PARAM.replace("0=3 1=1", "7=3"), BINARY),
    ],
    ids=["cut off", "too long", "numbers of no known type", "other text", "empty", "no sizes"],
)
def test_damaged_files_are_named(files: tuple[Path, Path], param: str, binary: bytes) -> None:
    files[0].write_text(param)
    files[1].write_bytes(binary)
    with pytest.raises(FluxboothError, match=r"net\.bin cannot be read .*: install"):
        ncnn_weights.read(*files)
