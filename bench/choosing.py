"""What choosing the best checkpoint is worth: `python -m bench.choosing --out FILE`.

Held-out people, each trained for 400 steps and looked at every 50, by eight pictures of eight steps
as a training does. Each of these checkpoints then draws sixteen pictures (eight prompts, none of
which chose, by two seeds, 28 steps), read as in `bench.recipe`. So the rule can be asked afterwards
which checkpoint it would have kept and when it would have ended, for any distance between looks.
FILE gets a line of JSON for each person, and one who is there is not done again; `--page` makes the
table of the documents from it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, tables
from bench.keepers import interval
from bench.recipe import PROMPTS, drawn, photos_of, read, scored
from fluxbooth import TrainSpec, train
from fluxbooth.models import loader
from fluxbooth.models.family import Family
from fluxbooth.training import choosing
from pretrain.subjects import subject

PEOPLE, STEPS, EVERY, PICTURES = tuple(range(10)), 400, 50, 8
IDENTITY, PROMPT = 0.90, 0.92  # when a person's pictures are called like the subject
SPACINGS = (50, 100)  # what a training of nano has time for lies between them


def looked_at(number: int, family: Family) -> dict[str, Any]:
    """One training: what each look found, and what its checkpoint draws for other prompts."""
    chosen, rng = subject("people", number), random.Random(f"people {number}")
    asked = [chosen.prompt(rng) for _ in range(PROMPTS)]
    told, found = {0: 0.0}, dict[int, dict[str, Any]]()

    def tell(event: Any) -> None:
        if event["event"] == "prepared":
            told[0] = time.process_time()
        if event["event"] in ("step", "scored"):
            told[event["step"]] = time.process_time()
        if event["event"] == "scored":
            found[event["step"]] = {key: event[key] for key in ("value", "identity", "prompt")}

    with tempfile.TemporaryDirectory() as folder:
        photos, out = photos_of(chosen, rng, Path(folder) / "photos"), Path(folder) / "run"
        spec = TrainSpec(class_name=chosen.class_name, base="nano", steps=STEPS)
        train(photos, spec, out, tell, family=family)
        for step, look in found.items():
            lora = out / "stages" / f"step-{step:06d}.safetensors"
            pictures = drawn([text for text, _ in asked], lora, family)
            look["held"] = scored(pictures, chosen, [wish for _, wish in asked])
            look["t"] = round(told[step] - told[0], 1)
    return {"person": number} | {str(step): look for step, look in found.items()}


def kept(row: dict[str, Any], spacing: int) -> tuple[int, int]:
    """The step that is kept, and the one after which it ends by itself, with looks so far apart."""
    looks = list[choosing.Look]()
    for step in range(spacing, STEPS + 1, spacing):
        look = row[str(step)]
        looks.append(choosing.Look(step, look["value"], look["identity"], look["prompt"]))
        if choosing.is_over(looks, PICTURES):
            break
    found = choosing.best(looks, PICTURES)
    assert found
    return found.step, looks[-1].step


def value(row: dict[str, Any], step: int) -> float:
    held = row[str(step)]["held"]
    return 100 * held["identity"] * held["prompt"]


def reached(row: dict[str, Any]) -> tuple[int, float] | None:
    """The first look at which other prompts' pictures are like the subject and as they say, and
    its processor seconds, all looks until then included."""
    for step in range(EVERY, STEPS + 1, EVERY):
        look = row[str(step)]
        if look["held"]["identity"] >= IDENTITY and look["held"]["prompt"] >= PROMPT:
            return step, look["t"]
    return None


def page(rows: Sequence[dict[str, Any]]) -> None:
    """Keeps the table in bench/results."""
    cells = []
    for row in sorted(rows, key=lambda row: row["person"]):
        last = row[str(STEPS)]["held"]
        for spacing in SPACINGS:
            step, end = kept(row, spacing)
            held = row[str(step)]["held"]
            cells.append([
                str(row["person"]), str(spacing), f"{step}, {end}",
                f"{100 * held['identity']:.0f} / {100 * held['prompt']:.0f}",
                f"{100 * last['identity']:.0f} / {100 * last['prompt']:.0f}",
                f"{value(row, step) - value(row, STEPS):+.1f}", f"{row[str(end)]['t']:.0f}",
            ])  # fmt: skip
    for spacing in SPACINGS:
        found = [kept(row, spacing) for row in rows]
        gains = [
            value(row, step) - value(row, STEPS) for row, (step, _) in zip(rows, found, strict=True)
        ]
        middle, low, high = interval(gains)
        seconds = [row[str(end)]["t"] for row, (_, end) in zip(rows, found, strict=True)]
        cells.append([
            f"all {len(rows)}", str(spacing),
            f"{statistics.fmean(step for step, _ in found):.0f}, "
            f"{statistics.fmean(end for _, end in found):.0f}",
            "", "", f"{middle:+.1f} ({low:+.1f} to {high:+.1f})",
            f"{statistics.fmean(seconds):.0f}",
        ])  # fmt: skip
    columns = ["person", "steps between looks", "kept, ended at", "identity / prompt of it, %",
               f"of the last, {STEPS}", "gain in their product", "processor seconds"]  # fmt: skip
    of = {"machine": machine.described(1), "by": "python -m bench.choosing"}
    times = {row["person"]: reached(row) for row in rows}
    those = [found for found in times.values() if found]
    steps, seconds = zip(*those, strict=True)
    likeness = [
        [str(person), *(map(str, found) if (found := times[person]) else ("not reached", ""))]
        for person in sorted(times)
    ] + [[f"{len(those)} of {len(times)}", f"{statistics.fmean(steps):.0f}",
          f"{statistics.fmean(seconds):.1f}"]]  # fmt: skip
    tables.save(
        "choosing",
        {
            "people": {**of, "columns": columns, "rows": cells},
            "likeness": {
                **of,
                "columns": ["person", "identity 90 and prompt 92 after step", "processor seconds"],
                "rows": likeness,
            },
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.choosing", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a file of lines of JSON")
    parser.add_argument("--minutes", type=float, default=12, help="begin nothing after so many")
    parser.add_argument("--page", action="store_true", help="make the table, train nothing")
    arguments = parser.parse_args()
    if arguments.page:
        page(read(arguments.out))
        return
    # looks as often as can be asked about, whatever they take
    plan = choosing.Plan(tuple(range(EVERY, STEPS + 1, EVERY)), PICTURES)
    choosing.planned = lambda *_: plan
    began, done = time.monotonic(), {row["person"] for row in read(arguments.out)}
    family = loader.load("nano", training=True)
    for number in PEOPLE:
        if number in done:
            continue
        if time.monotonic() - began > 60 * arguments.minutes:
            break
        row = looked_at(number, family)
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
