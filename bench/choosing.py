"""What choosing the best checkpoint is worth: `python -m bench.choosing --out FILE`.

Held-out people, each trained for 300 steps by hand, so that every checkpoint is scored. The one that
was chosen and the last then draw sixteen pictures (eight prompts, none of which chose, by two seeds,
28 steps), read as in `bench.recipe`. FILE gets a line of JSON for each person and seed, and one that
is there is not done again; `--page` makes the table of the documents from it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine, tables
from bench.recipe import PROMPTS, drawn, photos_of, read, scored
from fluxbooth import TrainSpec, train
from fluxbooth.models import loader
from fluxbooth.models.family import Family
from fluxbooth.training.choosing import Look as Found
from fluxbooth.training.choosing import is_over
from pretrain.subjects import subject

PEOPLE, SEEDS, STEPS = (0, 3, 8, 1, 5), (0, 1), 300


def compared(number: int, seed: int, family: Family) -> dict[str, Any]:
    """One training: what was chosen against the last, and when it would have ended by itself."""
    chosen, rng = subject("people", number), random.Random(f"people {number}")
    asked = [chosen.prompt(rng) for _ in range(PROMPTS)]
    events, told = list[Any](), dict[str, float]()

    def tell(event: Any) -> None:
        events.append(event)
        if event["event"] in ("prepared", "step"):
            told[event["event"]] = time.monotonic()

    with tempfile.TemporaryDirectory() as folder:
        photos = photos_of(chosen, rng, Path(folder) / "photos")
        spec = TrainSpec(
            class_name=chosen.class_name, base="nano", seed=seed, steps=STEPS,
            checkpoint_every=100_000,
        )  # fmt: skip
        result = train(photos, spec, Path(folder) / "run", tell, family=family)
        looks = [event for event in events if event["event"] == "scored"]
        stages = Path(folder) / "run" / "stages"
        found = {
            name: scored(
                drawn([text for text, _ in asked], stages / f"step-{step:06d}.safetensors", family),
                chosen,
                [wish for _, wish in asked],
            )
            for name, step in (("chosen", result.chosen), ("last", STEPS))
        }
    seconds = sum(look["seconds"] for look in looks)
    return {
        "person": number, "seed": seed, "step": result.chosen, "steps": STEPS,
        "looks": len(looks), "share": seconds / (told["step"] - told["prepared"]),
        "ended": ended(looks), **found,
    }  # fmt: skip


def ended(looks: Sequence[dict[str, Any]]) -> int:
    """The step after which it would have ended if the steps had not been given."""
    found = [Found(look["step"], look["value"], look["identity"], look["prompt"]) for look in looks]
    return next((found[n - 1].step for n in range(1, len(found)) if is_over(found[:n])), STEPS)


def value(figures: dict[str, float | None]) -> float:
    return (figures["identity"] or 0.0) * (figures["prompt"] or 0.0)


def page(rows: Sequence[dict[str, Any]]) -> None:
    """Keeps the table in bench/results."""
    cells = [
        [
            f"{row['person']}, seed {row['seed']}", str(row["step"]),
            *(f"{100 * row[arm]['identity']:.0f} / {100 * row[arm]['prompt']:.0f}"
              for arm in ("chosen", "last")),
            f"{100 * (value(row['chosen']) - value(row['last'])):+.1f}",
            f"{row['looks']}, {100 * row['share']:.0f}%",
        ]
        for row in rows
    ]  # fmt: skip
    gains = [100 * (value(row["chosen"]) - value(row["last"])) for row in rows]
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(gains, k=len(gains))) for _ in range(2000))
    shares = statistics.fmean(row["share"] for row in rows)
    cells.append([
        f"all {len(rows)}", "", "", "",
        f"{statistics.fmean(gains):+.1f} ({means[50]:+.1f} to {means[1949]:+.1f})",
        f"{100 * shares:.0f}%",
    ])  # fmt: skip
    tables.save(
        "choosing",
        {
            "people": {
                "machine": machine.described(1),
                "by": "python -m bench.choosing",
                "columns": ["person", "chosen step", "identity / prompt of it, %",
                            f"of the last, {STEPS}", "gain in their product", "looks, of the time"],
                "rows": cells,
            }
        },
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.choosing", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a file of lines of JSON")
    parser.add_argument("--minutes", type=float, default=12, help="begin nothing after so many")
    parser.add_argument("--page", action="store_true", help="make the table, train nothing")
    arguments = parser.parse_args()
    if arguments.page:
        page(read(arguments.out))
        return
    began, done = time.monotonic(), {(row["person"], row["seed"]) for row in read(arguments.out)}
    family = loader.load("nano", training=True)
    for seed, number in itertools.product(SEEDS, PEOPLE):
        if (number, seed) in done:
            continue
        if time.monotonic() - began > 60 * arguments.minutes:
            break
        row = compared(number, seed, family)
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
