"""What this machine has: GPU, memory, disk. Torch is loaded only when a GPU is asked after."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from fluxbooth.models.memory import GIB, Room

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Gpu:
    name: str
    total: int  # bytes
    free: int
    capability: tuple[int, int]
    bfloat16: bool


def gpu() -> Gpu | None:
    """The first GPU that torch can use, which is the one that works here."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    major, minor = torch.cuda.get_device_capability()
    return Gpu(torch.cuda.get_device_name(), total, free, (major, minor), torch.cuda.is_bf16_supported())


def free_memory() -> int:
    """Main memory that can be taken without swapping, in bytes; less where a container is given less."""
    import psutil

    free = psutil.virtual_memory().available
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text) - int(used.read_text()))
    return free


def total_memory() -> int:
    import psutil

    return psutil.virtual_memory().total


def free_disk(path: Path) -> int:
    """Bytes free where `path` is or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def room() -> Room:
    card = gpu()
    return Room(None if card is None else card.free, free_memory())


def gigabytes(count: float) -> str:
    return f"{count / GIB:.1f} GB"
