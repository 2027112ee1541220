"""Second names of files, so that they can be copied at leisure however soon they are deleted."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path

from fluxbooth.service.files.store import Store


class Pins:
    """A folder of second names, which goes with the process."""

    def __init__(self, store: Store) -> None:
        self.store, self.folder = store, store.incoming / secrets.token_hex(8)
        self.folder.mkdir()

    def path(self, key: str) -> Path:
        return self.folder / key

    def add(self, key: str) -> bool:
        """Whether the file is there, or was."""
        path = self.path(key)
        if path.exists():
            return True
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.hardlink_to(self.store.path(key))
        except FileNotFoundError:
            return False
        return True


@contextlib.contextmanager
def pinned(store: Store) -> Generator[Pins]:
    pins = Pins(store)
    try:
        yield pins
    finally:
        shutil.rmtree(pins.folder)
