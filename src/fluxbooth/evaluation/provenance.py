"""The origin of a report: machine, versions, commit. Nothing that tells whose machine it is.

Everything here is picked by name. What holds names, paths or tokens (the environment, host and
user, error texts) is never read.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from fluxbooth import hardware
from fluxbooth.models import hub, registry
from fluxbooth.models.base import Base
from fluxbooth.version import __version__

PACKAGES = ("torch", "diffusers", "transformers", "peft", "safetensors", "bitsandbytes", "torchao")
DRIVER = Path("/proc/driver/nvidia/version")


def facts() -> dict[str, Any]:
    """The machine and the versions that figures depend on, as JSON."""
    import torch

    card = hardware.gpu()
    versions = {name: _version(name) for name in PACKAGES} | {
        "cuda": torch.version.cuda,
        "driver": driver(),
    }
    return {
        "fluxbooth": {"version": __version__, "commit": commit()},
        "machine": {
            "gpu": None if card is None else card.name,
            "gpu_memory_gb": None if card is None else _gigabytes(card.total),
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory_gb": _gigabytes(hardware.total_memory()),
            "system": f"{platform.system()} {platform.machine()}",
        },
        "versions": {"python": platform.python_version()}
        | {name: found for name, found in versions.items() if found},
    }


def base_facts(row: Base) -> dict[str, Any]:
    """Which weights: a base of ours by name and revision, any other by its kind, since its path
    is nobody's business."""
    if row.name not in registry.BASES:
        return {
            "name": "a diffusers folder" if Path(row.source).is_dir() else "a single file",
            "revision": None,
        }
    found = hub.local(row)
    return {"name": row.name, "revision": None if found is None else hub.commit_of(row, found)}


def commit() -> str | None:
    """The commit that this code is, followed by "+" where files were changed since; None for an
    installed release."""
    root = Path(__file__).parents[3]
    if (root / ".git").exists() and shutil.which("git"):
        head = _git(root, "rev-parse", "HEAD")
        return head and head + (
            "+" if _git(root, "status", "--porcelain", "--untracked-files=no") else ""
        )
    try:
        origin = importlib.metadata.distribution("fluxbooth").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    return json.loads(origin or "{}").get("vcs_info", {}).get("commit_id")


def processor() -> str:
    """The processor's model, or its architecture where the system does not tell."""
    table = Path("/proc/cpuinfo")
    found = (
        re.search(r"^model name\s*:\s*(.+)$", table.read_text(), re.M) if table.is_file() else None
    )
    return found.group(1) if found else platform.machine()


def driver() -> str | None:
    """The NVIDIA driver's number alone: the rest of its line names the host that it was built
    on."""
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", DRIVER.read_text()) if DRIVER.is_file() else None
    return found and found.group()


def _git(root: Path, *arguments: str) -> str | None:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _gigabytes(count: float) -> float:
    return round(count / hardware.GIB, 1)
