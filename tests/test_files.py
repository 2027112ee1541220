"""Files are whole or not there, also where the disk becomes full in the middle of one."""

from __future__ import annotations

import contextlib
import errno
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fluxbooth import files, picture_files
from fluxbooth.errors import FluxboothError


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file of this process gets longer, as on a disk that has no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_jpeg_does_not_end_in_the_middle(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    image, path = Image.fromarray(noise), tmp_path / "a.jpg"
    picture_files.save(image, path, quality=95)
    whole = path.read_bytes()
    path.unlink()
    with room_for(len(whole) // 2), pytest.raises(OSError) as refused:
        picture_files.save(image, path, quality=95)
    assert files.is_full(refused.value) and not list(tmp_path.iterdir())


def test_a_full_disk_is_known_under_every_error_that_it_causes(tmp_path: Path) -> None:
    with room_for(1000), pytest.raises(FluxboothError, match="cannot be written") as refused:
        files.save_tensors(tmp_path / "a.safetensors", {"a": torch.zeros(10_000)})
    assert files.is_full(refused.value) and not list(tmp_path.iterdir())
    no_room, forbidden = OSError(errno.ENOSPC, "no"), OSError(errno.EACCES, "no")
    raised = files.cannot_write(tmp_path, no_room)
    raised.__cause__ = no_room
    assert files.is_full(raised) and files.is_full(no_room)
    assert not files.is_full(forbidden) and not files.is_full(FluxboothError("no"))
