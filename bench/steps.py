"""Rows B1n and B1: our training step beside that of diffusers' script, at equal settings, on
nano and at FLUX.1's real width."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import arms, bases, machine

AGREE = 1e-3  # the losses of the first ten steps may differ by that much, or the row is void


@dataclass(frozen=True)
class Settings:
    """What both arms are told."""

    base: str
    photos: str
    side: int
    text: int  # T5 tokens
    batch: int
    dtype: str
    rank: int = 16
    checkpointing: bool = False
    # each loads the base and deals with its text encoders as it does by itself
    as_shipped: bool = False


def nano(work: Path, dtype: str) -> Settings:
    """nano as Fluxbooth trains it by default."""
    return Settings(str(bases.nano(work)), str(bases.photo(work, 128)), 128, 48, 4, dtype)


def real_width(work: Path, side: int, text: int, dtype: str) -> Settings:
    return Settings(str(bases.real_width(work)), str(bases.photo(work, side)), side, text, 1, dtype)


def real_encoder(work: Path, side: int, text: int, dtype: str) -> Settings:
    return Settings(
        str(bases.real_encoder(work)),
        str(bases.photo(work, side)),
        side,
        text,
        1,
        dtype,
        as_shipped=True,
    )


def flops(layers: int, single_layers: int, width: int, tokens: int) -> float:
    """Of a step on a frozen base without recomputation: forward, and backward through the
    activations only.

    Linears 2 x 12 d^2 a token and block, twice over; attention 4 n^2 d, and two and a half times
    that backward.
    """
    return (layers + single_layers) * (48 * width**2 * tokens + 14 * tokens**2 * width)


@dataclass(frozen=True)
class Peer:
    """diffusers' training script, and a folder of packages that only it needs (torchvision) if
    the environment lacks them."""

    script: Path
    packages: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        paths = [str(self.packages)] if self.packages else []
        return {
            "PYTHONPATH": os.pathsep.join([*paths, *filter(None, [os.environ.get("PYTHONPATH")])])
        }


def compare(
    settings: Settings, peer: Peer | None, *, slices: int, steps: int, threads: int
) -> dict[str, Any]:
    """Seconds a step and peak memory of both arms, by turns in one run; without the peer's
    script, ours alone."""
    row: dict[str, Any] = asdict(settings) | {"base": Path(settings.base).name, "photos": 1}
    row["gemm before, GFLOP/s"] = machine.gemm_peak(settings.dtype, threads)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        place = Path(folder)

        def start(name: str, *command: str, environment: dict[str, str] | None = None) -> arms.Arm:
            settled = json.dumps(asdict(settings) | {"out": str(place / name)})
            return stack.enter_context(
                arms.started(name, [*command, settled], place / f"{name}.log", threads, environment)
            )

        running = [start("fluxbooth", "bench.our_step")]
        if peer:
            running.append(
                start(
                    "diffusers",
                    "bench.diffusers_step",
                    str(peer.script),
                    environment=peer.environment,
                )
            )
        arms.compare(running, slices, steps)
    row["gemm after, GFLOP/s"] = machine.gemm_peak(settings.dtype, threads)
    row |= {
        arm.name: {
            "seconds": arms.spread(arm.seconds),
            "cpu seconds": arms.spread(arm.cpu),
            "peak_mb": round(arm.peak_mb),
            "peak_mb until the first step": round(arm.loading_mb),
        }
        for arm in running
    }
    if peer is None:
        return row | {"diffusers": "skipped"}
    ours, theirs = running
    pairs = list(zip(ours.losses, theirs.losses, strict=False))[:10]
    row["losses"] = {"fluxbooth": [a for a, _ in pairs], "diffusers": [b for _, b in pairs]}
    row["void"] = max(abs(a - b) for a, b in pairs) > AGREE
    row["steps/s, ours over theirs"] = arms.spread(
        [b / a for a, b in zip(ours.seconds, theirs.seconds, strict=True)]
    )
    row["steps per cpu second, ours over theirs"] = arms.spread(
        [b / a for a, b in zip(ours.cpu, theirs.cpu, strict=True)]
    )
    row["peak memory, ours over theirs"] = round(ours.peak_mb / theirs.peak_mb, 3)
    return row
