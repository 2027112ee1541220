"""`fluxbooth doctor`: what this machine has for training and drawing, and what to do about what
it lacks. Uses no network."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fluxbooth import base_selection, hardware
from fluxbooth.cli import output
from fluxbooth.errors import InputError
from fluxbooth.hardware import GIB, Gpu, Room, gigabytes
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Job
from fluxbooth.models import hub, licences, registry
from fluxbooth.models.base import Base
from fluxbooth.version import __version__

FLUX = [row for row in registry.BASES.values() if not Path(row.source).is_dir()]
DOWNLOAD = base_selection.download_bytes(registry.find(base_selection.BEST))


@dataclass(frozen=True)
class Finding:
    what: str
    found: str
    advice: str = ""  # empty where all is well

    @property
    def state(self) -> str:
        return "attention" if self.advice else "ok"

    def lines(self) -> Iterator[str]:
        yield f"{self.state:10}{self.what:16}{self.found}"
        if self.advice:
            yield f"{'':26}{self.advice}"


def flags(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=run)
    output.output_flags(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    findings = list(examine())
    output.show(options, (line for finding in findings for line in finding.lines()))
    rows = [{**asdict(finding), "state": finding.state} for finding in findings]
    return {
        "version": __version__,
        "attention": sum(row["state"] == "attention" for row in rows),
        "findings": rows,
    }


def examine() -> Iterator[Finding]:
    card, free = hardware.gpu(), hardware.free_memory()
    yield Finding(
        "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield _driver(card)
    yield _torch()
    yield _gpu(card)
    if card is not None:
        yield _bfloat16(card)
        yield _gpu_memory(card, free)
    yield _memory(card, free)
    yield _disk()
    yield _cache()
    yield _token()
    yield _licence()


def _driver(card: Gpu | None) -> Finding:
    version = Path("/proc/driver/nvidia/version")
    if version.is_file():
        return Finding(
            "driver", version.read_text().splitlines()[0].removeprefix("NVRM version:").strip()
        )
    if card is not None:
        return Finding("driver", "there, its version is not told")
    return Finding(
        "driver",
        "no NVIDIA driver is loaded",
        "Only needed with an NVIDIA GPU: install its driver and restart, then repeat.",
    )


def _torch() -> Finding:
    import torch

    builds = (
        f"CUDA {torch.version.cuda}"
        if torch.version.cuda
        else f"ROCm {torch.version.hip}"
        if torch.version.hip
        else "CPU only"
    )
    found = f"{torch.__version__}, built for {builds}"
    if builds == "CPU only" and Path("/proc/driver/nvidia/version").is_file():
        return Finding(
            "torch",
            found,
            (
                "This build cannot use the GPU: install the CUDA build that pytorch.org shows "
                "for your system."
            ),
        )
    return Finding("torch", found)


def _gpu(card: Gpu | None) -> Finding:
    if card is not None:
        return Finding(
            "GPU",
            (
                f"{card.name}, {gigabytes(card.total)}, compute capability "
                f"{card.capability[0]}.{card.capability[1]}"
            ),
        )
    return Finding(
        "GPU",
        "none that torch can use",
        (
            "FLUX.1 needs an NVIDIA GPU, of 6 GB or more to train at 512 px. Without one, nano "
            "does everything on the CPU: it shows the whole flow but draws only small cartoons. "
            "`fluxbooth plan` tells what a card of each size could do; rented ones work as well."
        ),
    )


def _bfloat16(card: Gpu) -> Finding:
    if card.multiplies_bfloat16:
        return Finding("bfloat16", "in the GPU's hardware")
    return Finding(
        "bfloat16",
        "not in the GPU's hardware",
        (
            "Cards before the RTX 30 series only imitate it, so FLUX.1 computes in float32 "
            "there, many times slower. Use a newer card."
        ),
    )


def _gpu_memory(card: Gpu, free: int) -> Finding:
    found = f"{gigabytes(card.free)} free of {gigabytes(card.total)}"
    room = Room(card.free, free, *hardware.fast_dtype(card))
    row = registry.find(base_selection.BEST)
    try:
        shape = registry.description_of(row).shape(row.source)
        plan = estimate.choose(row.name, shape, Job(min(row.resolutions), row.text_length), room)
    except InputError as error:
        return Finding(
            "GPU memory",
            found,
            (
                f"{error} Other programs on the card take memory too: `nvidia-smi` lists them. "
                "nano needs less than 1 GB."
            ),
        )
    return Finding(
        "GPU memory", f"{found}; {row.name} trains at {min(row.resolutions)} px: {plan.why}"
    )


def _memory(card: Gpu | None, free: int) -> Finding:
    found = f"{gigabytes(free)} free of {gigabytes(hardware.total_memory())}"
    needed = 16 * GIB if card is not None else 2 * GIB
    if free >= needed:
        return Finding("main memory", found)
    return Finding(
        "main memory",
        found,
        (
            f"{gigabytes(needed)} free are advised: text encoders and blocks that do not fit on "
            "the card wait there. Close other programs, or add memory or swap."
        ),
    )


def _disk() -> Finding:
    from huggingface_hub.constants import HF_HUB_CACHE

    free = hardware.free_disk(Path(HF_HUB_CACHE))
    found = f"{gigabytes(free)} free for {_at_home(HF_HUB_CACHE)}"
    if free >= DOWNLOAD or hub.local(registry.find(base_selection.BEST)):
        return Finding("disk", found)
    return Finding(
        "disk",
        found,
        (
            f"{base_selection.BEST} takes {gigabytes(DOWNLOAD)}: make room, or set HF_HOME to a "
            "folder on a larger disk."
        ),
    )


def _cache() -> Finding:
    here = [_sets_here(row) for row in FLUX if any(hub.local(one) for one in row.sets)]
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    found = (
        (", ".join(here) or "no FLUX base")
        + " in the Hugging Face cache; nano comes with Fluxbooth"
        + (", offline" if offline else "")
    )
    if here:
        return Finding("weights", found)
    return Finding(
        "weights",
        found,
        f"With a GPU: `fluxbooth models pull {base_selection.BEST}`"
        + (" after unsetting HF_HUB_OFFLINE." if offline else "."),
    )


def _sets_here(row: Base) -> str:
    """Its name, and of a base with weights of their own to train on whether one set is missing."""
    if hub.local(row) is None:
        return f"{row.name} (to train on alone)"
    return row.name if hub.local(row.sets[-1]) else f"{row.name} (to draw with alone)"


def _token() -> Finding:
    from huggingface_hub import get_token

    if get_token():  # whether it is any good only the hub could say
        return Finding(
            "token", "HF_TOKEN is set" if os.environ.get("HF_TOKEN") else "from `hf auth login`"
        )
    row = registry.find(base_selection.BEST)
    return Finding(
        "token",
        "none",
        (
            "Needed only to download FLUX bases. Accept the licence at "
            f"huggingface.co/{row.source}, make a token with read access at "
            "huggingface.co/settings/tokens, and set it as HF_TOKEN or run `hf auth login`."
        ),
    )


def _licence() -> Finding:
    row: Base = registry.find(base_selection.BEST)
    stated = os.environ.get(licences.STATED)
    try:
        notice = licences.notice(row)
    except InputError as error:
        return Finding("licence", f"{licences.STATED}={stated}", str(error))
    return Finding(
        "licence", f"{row.name}: {stated}" if notice is None else "not stated", notice or ""
    )


def _at_home(path: str) -> str:
    """As a shell would write it: the report is made to be shown."""
    home = str(Path.home())
    return f"~{path.removeprefix(home)}" if path.startswith(home + "/") else path
