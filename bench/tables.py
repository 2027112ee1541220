"""The measured tables of the documents, made from the raw results in `bench/results`.

    python -m bench.tables      # writes them into their pages

A file of results holds tables by name, each with the machine, the commit and the command it was
taken with, and either `row` (figures by name, nested; shown with three digits) or `columns` and
`rows` (shown as they are). A page says where a table goes, and everything up to the end is made:

    <!-- measured: memory.quantised -->
    <!-- end of measured -->

`benchmarks` alone stands for all tables of that file, each under its name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
PLACE = re.compile(
    r"(<!-- measured: ([\w-]+)(?:\.([\w-]+))? -->\n).*?(<!-- end of measured -->)", re.S
)
SPREAD = {"least", "median", "most"}
Table = dict[str, Any]


def load(name: str) -> dict[str, Table]:
    """The tables of `bench/results/NAME.json`."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def save(name: str, found: dict[str, Table]) -> None:
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def pages() -> list[str]:
    """Documents that have a place for a measured table, relative to the repository."""
    documents = [
        ROOT / "README.md",
        *ROOT.glob("docs/**/*.md"),
        ROOT / "src/fluxbooth/models/nano/README.md",
    ]
    return [
        str(path.relative_to(ROOT)) for path in sorted(documents) if PLACE.search(path.read_text())
    ]


def made(text: str) -> str:
    """A page's text with every measured table made anew."""
    return PLACE.sub(lambda found: found[1] + _at(found[2], found[3]) + found[4], text)


def write() -> None:
    for page in pages():
        path = ROOT / page
        path.write_text(made(path.read_text()))


def _at(name: str, table: str | None) -> str:
    found = load(name)
    if table:
        return "\n" + shown(found[table]) + "\n\n"
    headings = {
        key: f"### {key}{', reduced (--quick)' if told.get('quick') else ''}"
        for key, told in found.items()
    }
    return (
        "\n"
        + "\n\n".join(f"{headings[key]}\n\n{shown(told)}" for key, told in found.items())
        + "\n\n"
    )


def shown(table: Table) -> str:
    """One table in Markdown, with where it was taken under it."""
    columns, rows = table.get("columns", ["what", "figure"]), table.get("rows")
    if rows is None:
        rows = [[what, _figure(value)] for what, value in _flat(table["row"])]
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += [
        "| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |" for row in rows
    ]
    machine = ", ".join(f"{key} {value}" for key, value in table["machine"].items())
    command = f", by `{table['by']}`" if table.get("by") else ""
    return "\n".join([*lines, "", f"Taken on: {machine}{command}."])


def _flat(row: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in row.items():
        nested = isinstance(value, dict) and set(value) != SPREAD
        pairs += _flat(value, f"{prefix}{key}: ") if nested else [(prefix + key, value)]
    return pairs


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return f"{_figure(value['median'])} ({_figure(value['least'])} to {_figure(value['most'])})"
    if isinstance(value, list):
        return ", ".join(map(_figure, value))
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


if __name__ == "__main__":
    write()
