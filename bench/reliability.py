"""What a long run of kills, of made-up requests and of the world's LoRA files found: `python -m
bench.reliability PART ...`.

kills N SEED     N kills under load with refusals and deletions, then every file against every row
fuzz N SEED      N requests at most of each route, made of the document at /openapi.json
lora-files       each file of tests/support/lora_files.py, drawn with, converted and uploaded

Each part adds to bench/results/reliability.json. A part that finds a fault ends with its traceback
and adds nothing.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import machine, tables
from tests.support import lora_files as world
from tests.support.fuzzing import fuzz
from tests.support.server import Receiver, Server
from tests.support.survival import PRICES, survive

Row = list[Any]
KILLS = ["kills, seed", "tunes and prompts finished", "callbacks, each once", "answers of a client that is refused and deletes", "files that rows name / that are there", "without the other"]  # fmt: skip
LORA_FILES = ["files", "read", "refused with their reason", "another verdict, or a traceback"]
IDLE = {"request_mb": "4", "theme_composer": "true"}
FUZZ = ["requests", "answered", "by status", "5xx"]


def kills(count: int, seed: int) -> Row:
    receiver = Receiver()
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", prices=PRICES) as server,
    ):
        found = survive(server, receiver, count, seed)
    receiver.close()
    victims = ", ".join(f"{victim} {times}" for victim, times in sorted(found.kills.items()))
    answers = ", ".join(f"{what}: {times}" for what, times in sorted(found.answers.items()))
    unnamed, missing = found.walk.unmatched
    return [
        f"{count} ({victims}), seed {seed}",
        f"{found.tunes} and {found.prompts}",
        found.callbacks,
        answers,
        f"{len(found.walk.named)} / {len(found.walk.there)}",
        len(unnamed) + len(missing),
    ]


def fuzzed(examples: int, seed: int) -> Row:
    with (
        tempfile.TemporaryDirectory() as folder,
        Server(Path(folder) / "data", flags=["--no-worker"], **IDLE) as server,
    ):
        found = fuzz(server, examples, seed)
    answers = ", ".join(f"{status}: {count}" for status, count in sorted(found.items()))
    server_errors = sum(count for status, count in found.items() if status >= 500)
    return [f"{examples} a route, seed {seed}", found.total(), answers, server_errors]


def lora_files() -> Row:
    cases = world.cases(world.nano_weights())
    tests = ["tests/lora/test_formats.py", "tests/service/test_lora_files.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests], cwd=tables.ROOT, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode()[-6000:]
    refused = sum(bool(case.refused) for case in cases)
    return [len(cases), len(cases) - refused, refused, 0]


def keep(part: str, columns: list[str], row: Row, *, anew: bool = False) -> None:
    """Adds a row to the part's table, or begins it anew, with the commit that it was taken of; the
    rest of where and when is that of the last."""
    found = tables.load("reliability") if (tables.RESULTS / "reliability.json").exists() else {}
    rows = [] if anew else found.get(part, {}).get("rows", [])
    taken = machine.described(1)
    found[part] = {
        "machine": taken,
        "by": f"python -m bench.reliability {part}",
        "columns": [*columns, "commit"],
        "rows": [*rows, [*row, taken["commit"]]],
    }
    tables.save("reliability", found)


def main() -> None:
    part, *numbers = sys.argv[1:]
    match part:
        case "kills":
            keep(part, KILLS, kills(*map(int, numbers)))
        case "fuzz":
            keep(part, FUZZ, fuzzed(*map(int, numbers)))
        case "lora-files":
            keep(part, LORA_FILES, lora_files(), anew=True)
        case _:
            raise SystemExit(f"{part} is no part of this: {__doc__}")


if __name__ == "__main__":
    main()
