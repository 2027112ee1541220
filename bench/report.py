"""From the numbers of a benchmark to docs/benchmarks.md and the README's plot."""

from __future__ import annotations

import math
from typing import Any

from bench import tables

INK, OURS, THEIRS = "#444", "#2b6cb0", "#b8b8b8"


def write(found: dict[str, Any]) -> None:
    """Keeps the rows in `bench/results/benchmarks.json`, and writes pages and plot from all
    that are there."""
    rows = tables.load("benchmarks") | found
    tables.save("benchmarks", rows)
    tables.write()
    (tables.ROOT / "docs" / "benchmarks.svg").write_text(plot(rows))


def bars(found: dict[str, Any]) -> list[tuple[str, float]]:
    """How many times faster than the peer, for each ratio there is."""
    rows = {name: told["row"] for name, told in found.items()}
    steps = [
        (name, rows[name])
        for name in ("B1n", "B1")
        if "steps per cpu second, ours over theirs" in rows.get(name, {})
    ]
    ratios = [
        (
            f"{name}: training step, diffusers' script = 1",
            row["steps per cpu second, ours over theirs"]["median"],
        )
        for name, row in steps
        if not row["void"]
    ]
    if "warm against diffusers" in rows.get("B2", {}):
        ratios.append(
            ("B2: warm to first step, diffusers' script = 1", rows["B2"]["warm against diffusers"])
        )
    if "B3" in rows:
        switch = rows["B3"]["switch, cpu ms"]
        ratios.append(
            ("B3: change of LoRA, load_lora_weights = 1", switch["load_lora_weights over ours"])
        )
        ratios.append(("B3: change of LoRA, diffusers' hot-swap = 1", switch["hot-swap over ours"]))
    return ratios


def plot(found: dict[str, Any]) -> str:
    """Bars on a logarithmic axis, so that 1.05 and 50 can both be read; the peer is the line at
    1."""
    rows = bars(found)
    height, left, width = 34 * len(rows) + 40, 330, 330
    widest = math.log10(max([10.0, *(ratio for _, ratio in rows)]) * 1.2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" font-family="sans-serif" font-size="13" fill="{INK}">',
        '<text x="8" y="18">Times as fast as the peer, on one machine (logarithmic)</text>',
    ]
    for number, (name, ratio) in enumerate(rows):
        y, length = 32 + 34 * number, width * math.log10(ratio) / widest
        bar = f'x="{left + min(0, length):.1f}" y="{y}" width="{abs(length):.1f}" height="22" fill="{OURS}"'
        parts.append(f'<text x="8" y="{y + 16}">{name}</text><rect {bar}/>')
        parts.append(f'<text x="{left + max(0, length) + 6:.1f}" y="{y + 16}">{ratio:.2f}</text>')
    parts.append(
        f'<line x1="{left}" y1="28" x2="{left}" y2="{height - 6}" stroke="{THEIRS}" stroke-width="2"/></svg>'
    )
    return "\n".join(parts) + "\n"
