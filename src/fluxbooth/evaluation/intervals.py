"""How sure a figure of a few pictures is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

DRAWS = 2000


class Estimate(TypedDict):
    """A mean, and the ends of its 95% interval."""

    mean: float
    low: float
    high: float
    of: int  # values


def estimate(values: Sequence[float]) -> Estimate:
    """Of at least one value 0 to 1; the interval by bootstrap (Efron 1979). Where all are the same,
    which resampling would take for certainty, by the rule of three (Hanley 1983): 3 / n."""
    array = np.asarray(values, dtype=float)
    mean = float(array.mean())
    draws = np.random.default_rng(0).choice(array, (DRAWS, len(array))).mean(1)
    low, high = (float(end) for end in np.percentile(draws, (2.5, 97.5)))
    if high - low < 1e-9:
        low, high = max(0.0, mean - 3 / len(array)), min(1.0, mean + 3 / len(array))
    return {
        "mean": round(mean, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "of": len(array),
    }


def percent(found: Estimate) -> str:
    """As `93% (88 to 97)`."""
    return f"{found['mean']:.0%} ({100 * found['low']:.0f} to {100 * found['high']:.0f})"
