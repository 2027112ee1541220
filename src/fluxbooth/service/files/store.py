"""Files by key, under the data folder, and the places where those wait that no row has yet."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path

# of the files that are shown as pictures
KINDS = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}


class Store:
    """Keys are made here, never from what a client sent: a row's folder (`tunes/7-...`), then
    `photos/000.jpg`, `lora.safetensors` ..."""

    def __init__(self, data: Path) -> None:
        self.folder = data / "files"
        self.arrivals = data / "incoming"
        self.drafts = data / "incoming" / "drafts"
        for path in (self.folder, self.arrivals):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def incoming(self) -> Path:
        """Where this process receives files.

        It is locked as long as the process lives; then whoever sweeps first removes it.
        """
        return _own_folder(self.arrivals)

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

    def put(self, source: Path, key: str) -> None:
        """As `take`, without a second copy on the disk, but the source stays: what is rolled back
        loses nothing of its sender's.

        FileExistsError if the key is in use.
        """
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        os.link(source, target)

    def remove(self, prefix: str) -> None:
        """Deletes a file, or everything below a folder; what is not there is deleted already."""
        path = self.path(prefix)
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Removes what processes that are over were receiving; drafts have a sweep of their own."""
        with _held(self.arrivals):
            for path in self.arrivals.iterdir():
                if path == self.drafts:
                    continue
                if not path.is_dir():  # version 0.1.0 had no folders for each process
                    path.unlink()
                elif _is_free(path):
                    shutil.rmtree(path)


@functools.cache  # for a process has one, however many stores it opens
def _own_folder(arrivals: Path) -> Path:
    with _held(arrivals):  # so that nobody sweeps it before it is locked
        path = arrivals / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        # never closed: it ends with the process
        fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
    return path


@contextlib.contextmanager
def _held(folder: Path, how: int = fcntl.LOCK_EX) -> Generator[None]:
    """A lock on a folder. BlockingIOError if it is taken and `how` does not wait."""
    file = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(file, how)
        yield
    finally:
        os.close(file)


def _is_free(folder: Path) -> bool:
    try:
        with _held(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            return True
    except BlockingIOError:
        return False
