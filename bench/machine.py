"""What the machine can do, and what ran on it: stated beside every figure."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import torch

GEMM = (1536, 3072, 12288)  # the largest product of a FLUX.1 block on 512 + 1024 tokens


def gemm_peak(dtype: str, threads: int) -> float:
    """GFLOP/s of the best of five matrix products in that dtype: the limit of everything else
    in it."""
    torch.set_num_threads(threads)
    rows, inner, columns = GEMM
    a, b = (
        torch.randn(shape, dtype=getattr(torch, dtype))
        for shape in ((rows, inner), (inner, columns))
    )
    times = []
    for _ in range(5):
        began = time.perf_counter()
        torch.matmul(a, b)
        times.append(time.perf_counter() - began)
    return round(2 * rows * inner * columns / min(times) / 1e9, 1)


def described(threads: int) -> dict[str, Any]:
    root = Path(__file__).parent.parent
    commit = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=root, capture_output=True, text=True
    ).stdout.strip()
    packages = ("torch", "diffusers", "transformers", "peft", "accelerate")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit or "not a checkout",
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "native bfloat16": bool(torch.cpu._is_avx512_bf16_supported()),
        "load at the start": round(os.getloadavg()[0], 1),
        **{name: importlib.metadata.version(name) for name in packages},
    }


def processor() -> str:
    flags = next(
        (
            line
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("flags")
        ),
        "",
    ).split()
    best = next(
        (name for name in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if name in flags), "no AVX"
    )
    return f"{platform.machine()}, {best}"
