"""Files by key, under the data folder: photos, LoRAs, pictures, and the folders that running work uses."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path


def is_full(error: OSError) -> bool:
    """Whether it was the disk, a quota or a limit of the process that left no room for a file."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Store:
    """Keys are made here, never from what a client sent: `tunes/7/photos/...`, `tunes/7/lora.safetensors`, `prompts/9/...`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.incoming = folder / "files", folder / "incoming"
        for path in (self.folder, self.incoming):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, key: str) -> Path:
        return self.folder / key

    def size(self, key: str) -> int:
        """Bytes of a file; 0 of one that is not there."""
        path = self.path(key)
        return path.stat().st_size if path.is_file() else 0

    def size_of(self, prefix: str) -> int:
        """Bytes of everything below a folder."""
        return sum(path.stat().st_size for path in self.path(prefix).rglob("*") if path.is_file())

    def take(self, source: Path, key: str) -> None:
        """Moves a finished file in: under its key it is whole, and on disk."""
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        source.rename(target)

    def share(self, key: str, other: str) -> None:
        """The same file under another key as well, without a second copy on the disk; either may be removed without the other."""
        target = self.path(other)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(self.path(key), target)

    def remove(self, prefix: str) -> None:
        """Deletes a file, or everything below a folder; what is not there is deleted already."""
        path = self.path(prefix)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
