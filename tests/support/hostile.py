"""Bodies and pictures that cost whoever reads them more than whoever sends them."""

from __future__ import annotations

import struct
import zlib


def many_values(size: int) -> bytes:
    """JSON of `size` bytes, nearly each second of which is a value."""
    return b'{"values":[' + b",".join([b"0"] * ((size - 13) // 2)) + b"]}"


def slow_jpeg(scans: int, side: int = 4000) -> bytes:
    """A grey progressive JPEG of `side` x `side` pixels.

    Each scan takes some fifty bytes and a pass over every block.
    """
    size = struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0)
    tables = _segment(0xDB, b"\0" + b"\x01" * 64) + _segment(0xC2, size) + _code(0x10, 0xE0)
    scan = _segment(0xDA, bytes([1, 1, 0, 1, 1, 0])) + _nothing((side + 7) // 8 * ((side + 7) // 8))
    return b"\xff\xd8" + tables + scan * scans + b"\xff\xd9"


def slow_png(chunks: int) -> bytes:
    """A PNG of 16 x 16 pixels behind so many chunks of twelve bytes that nobody knows."""
    header, rows = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0), zlib.compress(bytes(17 * 16))
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"noNe", b"") * chunks
        + _chunk(b"IDAT", rows)
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _code(table: int, symbol: int) -> bytes:
    """A Huffman table whose one symbol is written as the bit 0."""
    return _segment(0xC4, bytes([table, 1, *[0] * 15, symbol]))


def _nothing(blocks: int) -> bytes:
    """Says of so many blocks that they have no more coefficients, up to 32,767 of them at once."""
    bits = ""
    while blocks >= 2**14:
        run = min(blocks, 2**15 - 1)
        bits += "0" + format(run - 2**14, "014b")
        blocks -= run
    bits += ("0" + format(0, "014b")) if blocks else ""
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
