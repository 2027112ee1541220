"""Row curve: the losses of 200 steps of nano, ours beside the script's on the same noise; beside
that, how far the script's are apart from one seed to the next. What makes a step lean must not show
in them.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import arms
from bench.steps import Peer, Settings

SEEDS, WINDOW = (0, 1, 2), 20


def row(settings: Settings, peer: Peer | None, *, steps: int, threads: int) -> dict[str, Any]:
    """Differences are of means over `WINDOW` steps, and the mean of those along the curve."""
    if peer is None:
        return {"diffusers": "skipped"}
    ours, theirs = [], []
    for seed in SEEDS:
        mine, others = _losses(settings, peer, seed, steps, threads)
        ours.append(_smooth(mine))
        theirs.append(_smooth(others))
    same = [_apart(a, b) for a, b in zip(ours, theirs, strict=True)]
    seeds = [_apart(a, b) for a, b in itertools.combinations(theirs, 2)]
    return {
        "dtype": settings.dtype,
        "steps": steps,
        "seeds": len(SEEDS),
        "fluxbooth, means of 20 steps, seed 0": ours[0],
        "diffusers, seed 0": theirs[0],
        "between the two on the same noise": arms.spread(same),
        "between two seeds of the script": arms.spread(seeds),
        "within the spread": max(same) < min(seeds),
    }


def _losses(
    settings: Settings, peer: Peer, seed: int, steps: int, threads: int
) -> tuple[list[float], list[float]]:
    """Of both arms, one after the other."""
    found = []
    environment = {"BENCH_SEED": str(seed)}
    with tempfile.TemporaryDirectory() as folder:
        for name, command, more in (
            ("fluxbooth", ["bench.our_step"], {}),
            ("diffusers", ["bench.diffusers_step", str(peer.script)], peer.environment),
        ):
            settled = json.dumps(asdict(settings) | {"out": str(Path(folder) / name)})
            with arms.started(
                name, [*command, settled], Path(folder) / f"{name}.log", threads, environment | more
            ) as arm:
                arm.go(steps - 1)
                found.append(arm.losses)
    return found[0], found[1]


def _smooth(losses: Sequence[float]) -> list[float]:
    return [statistics.fmean(losses[i : i + WINDOW]) for i in range(0, len(losses), WINDOW)]


def _apart(a: Sequence[float], b: Sequence[float]) -> float:
    return statistics.fmean(abs(x - y) for x, y in zip(a, b, strict=True))
