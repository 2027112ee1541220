"""What only a card can tell, in half an hour on one, with random weights: three parts of nine
minutes, whose rows are written one by one, so that a run that breaks off has lost nothing.

    python -m bench.gpu --out gpu.jsonl              # on a card of 48 GB or more; 80 for all rows
    python -m bench.gpu --part B --out gpu.jsonl     # one part: A training, B correctness, C pictures
    python -m bench.gpu --dry-run                    # every row, small, on a CPU: that it runs
    python -m bench.gpu --page gpu.jsonl verify-out/rows.jsonl   # docs/gpu.md from what was measured

A line of JSON a row: `row`, `unit`, `median`, `least`, `most`, `ok`, and `against`, what it was held
to. A row that fails says so with the kind of its error, and the next goes on; one that the time of
its part does not reach is left out. The exit code is 1 if a row is not ok.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import torch

from bench import gpu_correctness, gpu_pictures, gpu_training, machine, tables
from bench.gpu_base import DRY, Part, Setting
from fluxbooth import hardware
from fluxbooth.evaluation.rows import Row
from fluxbooth.evaluation.verify import ROWS

PARTS = {"A": gpu_training.part, "B": gpu_correctness.part, "C": gpu_pictures.part}
REAL = "D"  # the table of what `fluxbooth verify` measured, on real weights
MINUTES = 9.0  # of a part
COLUMNS = ["row", "unit", "median", "least", "most", "held to"]


def parts(setting: Setting, names: Sequence[str] = tuple(PARTS)) -> list[Part]:
    return [PARTS[name](setting) for name in names]


def measured(
    part: Part, setting: Setting, minutes: float, only: Sequence[str] = ()
) -> Iterator[Row]:
    """The rows of a part as they come, for as long as there is time."""
    began = time.monotonic()
    for name, work in part.rows.items():
        if only and name not in only:
            continue
        if time.monotonic() - began > 60 * minutes:
            return
        yield {"part": part.name, "row": name, **_tried(work, setting)}


def _tried(work: Any, setting: Setting) -> Row:
    began = time.monotonic()
    try:
        row = work(setting)
    except Exception as error:  # whatever it is, the other rows are worth their time on the card
        row = {"ok": False, "failed": f"{type(error).__name__}: {error}"[:300]}
    return row | {"took": round(time.monotonic() - began, 1)}


def run(
    setting: Setting, out: TextIO, names: Sequence[str], minutes: float, only: Sequence[str] = ()
) -> bool:
    """Whether all rows are ok; each is written and flushed at once."""
    print(json.dumps({"machine": _card(setting)}), file=out, flush=True)
    good = True
    for part in parts(setting, names):
        for row in measured(part, setting, minutes, only):
            print(json.dumps(row), file=out, flush=True)
            good &= row["ok"]
    return good


def _card(setting: Setting) -> dict[str, Any]:
    card = hardware.gpu() if setting.device.type == "cuda" else None
    named = {} if card is None else {"gpu": card.name, "gb": round(card.total / hardware.GIB)}
    return named | {"dry": setting.dry, **machine.described(torch.get_num_threads())}


def page(found: Sequence[Row], verified: Sequence[Row] = ()) -> dict[str, tables.Table]:
    """A table for each part, and one for the rows of `fluxbooth verify`, with every row that there
    is: those that were not measured are empty."""
    named = {name: tuple(part.rows) for name, part in _full().items()}
    made = {name: _table(rows, found, "python -m bench.gpu") for name, rows in named.items()}
    return made | {REAL: _table(ROWS, verified, "fluxbooth verify")}


def _full() -> dict[str, Part]:
    return dict(zip(PARTS, parts(Setting(torch.device("cuda"))), strict=True))


def _table(names: Sequence[str], found: Sequence[Row], by: str) -> tables.Table:
    rows = {row["row"]: row for row in found if "row" in row}
    card = next((row["machine"] for row in found if "machine" in row), None)
    return {
        "machine": card or {"card": "none yet", "commit": "none", "processor": "none"},
        "by": by,
        "columns": COLUMNS,
        "rows": [[name, *_shown(rows.get(name))] for name in names],
    }


def _shown(row: Row | None) -> list[Any]:
    if row is None:
        return ["not measured", "", "", "", ""]
    if "failed" in row:
        return [row["failed"], "", "", "", "does not hold"]
    held = row["against"] if row["ok"] else f"does not hold: {row['against']}"
    return [row["unit"], row["median"], row["least"], row["most"], held]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--row", nargs="+", default=[], help="only these rows, by name")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="of a part (default: 9)")
    parser.add_argument("--out", type=Path, help="add the rows to this file, too")
    parser.add_argument("--dry-run", action="store_true", help="small, on a CPU")
    parser.add_argument(
        "--page",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="make docs/gpu.md of these rows, and of those that `fluxbooth verify` wrote",
    )
    options = parser.parse_args()
    if options.page:
        random, *real = [
            [json.loads(line) for line in file.read_text().splitlines()] for file in options.page
        ]
        tables.save("gpu", page(random, [row for rows in real for row in rows]))
        tables.write()
        return
    if not options.dry_run and not torch.cuda.is_available():
        parser.error("there is no GPU here: use --dry-run")
    setting = DRY if options.dry_run else Setting(torch.device("cuda"))
    if options.out:
        with options.out.open("a") as file:
            good = run(setting, _Both(file), options.part, options.minutes, options.row)
    else:
        good = run(setting, sys.stdout, options.part, options.minutes, options.row)
    sys.exit(0 if good else 1)


class _Both:
    """A file and standard output."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def write(self, text: str) -> int:
        sys.stdout.write(text)
        return self.file.write(text)

    def flush(self) -> None:
        sys.stdout.flush()
        self.file.flush()


if __name__ == "__main__":
    main()
