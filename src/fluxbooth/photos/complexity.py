"""The parts of a picture file, counted before it is decoded: a small file of many parts keeps a
decoder busy for minutes.

Each scan of a progressive JPEG is a pass over the whole picture, and Pillow looks at segments and
chunks one by one.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from fluxbooth.errors import InputError

MOST_SCANS = 100  # encoders write 10 or so
MOST_SEGMENTS = 10_000  # of a JPEG
MOST_CHUNKS = 20_000  # of a PNG: encoders write pixels in chunks of 8 kB and more

_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers of a JPEG without a length: TEM, RST0 to RST7
_START_OF_SCAN, _END = 0xDA, 0xD9
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_AFTER_PIXELS = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")


def check(path: Path) -> None:
    """Raises InputError for a JPEG or PNG of too many pieces.

    What is damaged is left to the decoder.
    """
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(b"\xff\xd8"):
            _check_jpeg(start + file.read())
        elif start.startswith(b"\x89PNG"):
            _check_png(start + file.read())


def _check_jpeg(data: bytes) -> None:
    """Of the first picture in the file, as libjpeg finds its way: a phone appends others, and
    films."""
    scans = segments = 0
    found = _MARKER.search(data, 2)
    while found and found[1][0] != _END:
        segments, at = segments + 1, found.end()
        if found[1][0] not in _ALONE:
            at += int.from_bytes(data[at : at + 2], "big")
        scans += (in_scan := found[1][0] == _START_OF_SCAN)
        if scans > MOST_SCANS:
            raise InputError(f"it has more than the {MOST_SCANS} scans that a JPEG may have")
        if segments > MOST_SEGMENTS:
            raise InputError(
                f"it has more than the {MOST_SEGMENTS:,} segments that a JPEG may have"
            )
        found = (_AFTER_PIXELS if in_scan else _MARKER).search(data, at)


def _check_png(data: bytes) -> None:
    chunks, at = 0, 8
    kind = b""
    while at + 8 <= len(data) and kind != b"IEND":  # what lies behind it nobody reads
        length, kind = struct.unpack_from(">I4s", data, at)
        chunks, at = chunks + 1, at + 12 + length
        if chunks > MOST_CHUNKS:
            raise InputError(f"it has more than the {MOST_CHUNKS:,} chunks that a PNG may have")
