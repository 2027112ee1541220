"""This machine's GPU, memory and disk. Torch is loaded only when a GPU is asked after, and there is
a driver for one."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fluxbooth.errors import FluxboothError

if TYPE_CHECKING:
    import torch

# how torch's allocator is to keep a card's memory: in pieces that can grow, so that what batches
# of one size leave serves those of another
ALLOCATOR = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
CGROUP = Path("/sys/fs/cgroup")
DRIVER_WITHIN = 60.0  # seconds


@dataclass(frozen=True)
class Gpu:
    name: str
    total: int  # bytes
    free: int
    capability: tuple[int, int]
    bfloat16: bool

    @property
    def multiplies_bfloat16(self) -> bool:
        """In hardware; cards before the RTX 30 series imitate it."""
        return self.bfloat16 and self.capability >= (8, 0)


def gpu() -> Gpu | None:
    """The first GPU that torch can use, which is the one that works here."""
    if not _may_have_gpu():
        return None
    settle_allocator()
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    # what torch keeps for its next tensors counts as taken with the driver
    free += torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    major, minor = torch.cuda.get_device_capability()
    return Gpu(
        torch.cuda.get_device_name(), total, free, (major, minor), torch.cuda.is_bf16_supported()
    )


def settle_allocator() -> None:
    """Before torch first takes memory of a card; what is set in the environment stays."""
    if sys.platform == "linux":  # elsewhere torch has none of this
        for name, value in ALLOCATOR.items():
            os.environ.setdefault(name, value)


def compute_device() -> torch.device:
    """Where networks work: the current NVIDIA or AMD card, which torch both calls cuda, else
    Apple's GPU, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def release_memory() -> None:
    """Gives back what nothing needs any more: of a card to the driver, too, which torch keeps it
    from."""
    gc.collect()
    if (cuda := _card_in_use()) is not None:
        cuda.empty_cache()


def release_card() -> None:
    """The same where a card is in use: elsewhere what a job leaves is freed in good time."""
    if _card_in_use() is not None:
        release_memory()


def _card_in_use() -> Any:
    """torch.cuda once this process has taken memory of a card."""
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch.cuda if torch is not None and used else None


def _may_have_gpu() -> bool:
    """Whether there is a driver, without which torch, which takes seconds to import, would find
    nothing."""
    if sys.platform != "linux" or Path("/dev/kfd").exists():  # AMD's
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def gpus() -> list[str]:
    """The GPUs that programs may use here, as CUDA_VISIBLE_DEVICES names them; asked of the
    driver, without torch."""
    if (told := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in told.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    return (_driver_says("--query-gpu=uuid", "--format=csv,noheader") or "").split()


def named_gpu(device: str | None = None) -> tuple[str, int] | None:
    """Product name and bytes of a GPU, by default the first that programs may use here; asked
    of the driver, without torch."""
    here = [device] if device else gpus()
    if not here or shutil.which("nvidia-smi") is None:
        return None
    said = _driver_says(
        "--query-gpu=name,memory.total", "--format=csv,noheader,nounits", f"--id={here[0]}"
    )
    name, _, mebibytes = (said or "").strip().rpartition(", ")
    return (name, int(mebibytes) * 2**20) if mebibytes.isdigit() else None


def _driver_says(*query: str) -> str | None:
    """None where the driver has no answer. Raises FluxboothError where none comes."""
    try:
        asked = subprocess.run(
            ["nvidia-smi", *query], capture_output=True, text=True, timeout=DRIVER_WITHIN
        )
    except subprocess.TimeoutExpired as error:
        raise FluxboothError(
            f"nvidia-smi does not answer within {DRIVER_WITHIN:g} s: restart the driver, or "
            "do without with CUDA_VISIBLE_DEVICES=''."
        ) from error
    return asked.stdout if asked.returncode == 0 else None


def matrix_speed() -> float:
    """Floating-point operations a second of float32 matrix products on this CPU, as busy as it
    is: the best of five."""
    import numpy as np

    side, best = 1024, float("inf")
    left = np.ones((side, side), np.float32)
    for _ in range(5):
        began = time.perf_counter()
        np.matmul(left, left)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def free_memory() -> int:
    """Main memory that this process can take without swapping, in bytes: less where a container is
    given less, or processes that were launched together share it.
    """
    import psutil

    free = psutil.virtual_memory().available
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        free = min(free, int(text) - int(used.read_text()))
    return free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def total_memory() -> int:
    import psutil

    return psutil.virtual_memory().total


def free_disk(path: Path) -> int:
    """Bytes free where `path` is or will be."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def cpu_multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware: AVX512-BF16, AMX, or ARMv8.6's
    extension. Others take tens of times longer."""
    import torch

    if platform.machine() in ("aarch64", "arm64"):
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _multiplies_bfloat16() -> bool:
    """The same of what computes without a card of its own memory: Apple's GPU or the CPU."""
    if sys.platform == "darwin" and compute_device().type == "mps":
        import torch

        return torch.backends.mps.is_macos_or_newer(14, 0)
    return cpu_multiplies_bfloat16()


def fast_dtype(card: Gpu | None) -> tuple[Dtype, str]:
    """What the processor that computes here is fast in, and why: the one place where that is
    decided."""
    if card.multiplies_bfloat16 if card is not None else _multiplies_bfloat16():
        return "bfloat16", "which this processor multiplies in hardware"
    return "float32", "because this processor has no bfloat16 arithmetic"


def room() -> Room:
    """What is free once everything is given back that nothing needs any more."""
    release_card()
    card = gpu()
    return Room(None if card is None else card.free, free_memory(), *fast_dtype(card))


def gigabytes(count: float) -> str:
    return f"{count / GIB:.1f} GB"


GIB = 2**30

Dtype = Literal["bfloat16", "float32"]


@dataclass(frozen=True)
class Room:
    """Free memory in bytes: of a card (None: there is no GPU), and main memory. And what the
    processor there is fast in."""

    device: float | None
    main: float
    dtype: Dtype = "bfloat16"
    because: str = ""  # why that one, in a few words
