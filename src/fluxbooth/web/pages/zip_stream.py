"""Many pictures as one zip file, written while it is read: nothing of it lies on the disk or,
but for a block, in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

BLOCK = 2**18  # bytes


class _Pipe:
    """A file that cannot be rewound: what was written is taken away."""

    def __init__(self) -> None:
        self.waiting = bytearray()

    def write(self, data: bytes) -> int:
        self.waiting += data
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self.waiting = bytes(self.waiting), bytearray()
        return taken


def zipped(files: Iterable[tuple[str, Path]]) -> Iterator[bytes]:
    """The zip file of (name in it, file), piece by piece, uncompressed as JPEGs are already.

    A file that is gone by then is left out.
    """
    pipe = _Pipe()
    # zipfile asks for no more than these methods
    with zipfile.ZipFile(pipe, "w") as archive:  # type: ignore[arg-type]
        for name, path in files:
            try:
                source = path.open("rb")
            except FileNotFoundError:  # deleted since the download began
                continue
            with source, archive.open(zipfile.ZipInfo.from_file(path, name), "w") as target:
                while block := source.read(BLOCK):
                    target.write(block)
                    yield pipe.take()
    yield pipe.take()
