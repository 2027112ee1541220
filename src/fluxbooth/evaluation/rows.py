"""What is measured on a machine, as a row: the form and the tests that `fluxbooth verify`, on real
weights, and the program for a card, on random ones, have in common."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from torch import Tensor

Row = dict[str, Any]
MEMORY_OFF = 0.08  # of an estimate, at most
UNBROKEN = 2.0  # times as far from an unbroken training as another one is, at most


def figures(
    values: Sequence[float], unit: str, *, ok: bool = True, against: str = "", **beside: Any
) -> Row:
    """A row's numbers; `against` says what `ok` was held to, in words."""
    return {
        "unit": unit,
        "median": short(statistics.median(values)),
        "least": short(min(values)),
        "most": short(max(values)),
        "ok": bool(ok),
        "against": against,
        **beside,
    }


def short(value: float) -> float:
    """Four digits of it."""
    return float(f"{value:.4g}")


def step_name(kept: str, side: int, count: int, recomputed: str) -> str:
    """What a training step is: `kept` is how the base is, `side` in pixels, `count` of pictures."""
    return f"step, {kept}, {side} px, batch {count}, {recomputed} recomputed"


def memory_held(predicted: float, taken: float) -> tuple[bool, str]:
    """Whether memory was foreseen, and in words; both in the same unit."""
    off = predicted / taken - 1
    return abs(off) <= MEMORY_OFF, f"memory foreseen within {MEMORY_OFF:.0%}: {off:+.1%}"


def resume_held(after: float, own: float) -> tuple[bool, str]:
    """Whether a resumed training is what an unbroken one is, where two of those are `own` apart."""
    return after <= UNBROKEN * own, f"two unbroken runs: {own:.1e}"


def distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Between two lists of tensors, relative to the other's norm."""
    between = sum(
        float((a.float() - b.float()).square().sum()) for a, b in zip(one, other, strict=True)
    )
    return (between / max(1e-30, sum(float(b.float().square().sum()) for b in other))) ** 0.5
