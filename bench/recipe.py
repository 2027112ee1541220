"""What each part of nano's recipe is worth: `python -m bench.recipe PART --out FILE`.

PART is one of PARTS below: some subjects, seeds and arms. An arm is what differs from what nano did
by default before its recipe (BEFORE). Every one trains on eight rendered photos of a subject that
nano has not seen, keeps the LoRA at several steps, and draws sixteen pictures with each: eight
prompts by two seeds, 28 steps. FILE gets a line of JSON for each training, and one that is there
already is not done again; `--page` makes the tables of the documents from it.

Identity is the share of the subject's attributes that the shipped reader finds in the pictures,
prompt that of what the prompts ask for. Seconds are of the processor, from the first step on,
without drawing.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from bench import machine, tables
from fluxbooth import GenerateSpec, TrainSpec, generate, train
from fluxbooth.evaluation import likeness
from fluxbooth.models import attribute_reader, loader, registry
from fluxbooth.models.family import Family
from fluxbooth.prompts.captions import Seen
from fluxbooth.training import captions
from pretrain.evaluate import grid
from pretrain.subjects import Subject, subject

PHOTOS, PROMPTS, SEEDS = 8, 8, (0, 1)
# what nano's row said, and what it did with captions
BEFORE: dict[str, Any] = {
    "learning_rate": 3e-4, "highest_rate": 1.0, "settle_steps": None, "fit_text": False,
    "outside_head": 1.0,
}  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """What differs from BEFORE: fields of nano's row, settings of a training, and what its captions
    leave out."""

    row: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    unsaid: tuple[str, ...] = ()  # attributes that captions by the reader do not name


NOW = Arm({name: getattr(registry.BASES["nano"], name) for name in BEFORE}, {"captioner": "reader"})
ARMS: dict[str, Arm] = {
    "before": Arm(),
    "now": NOW,
    "captions by the reader": Arm(spec={"captioner": "reader"}),
    "captions without the place in the frame": Arm(
        spec={"captioner": "reader"}, unsaid=("position",)
    ),
    "rate 1e-3": Arm({"learning_rate": 1e-3}),
    "rate settles after 150 steps": Arm({"settle_steps": 150}),
    "head weighed": Arm({"outside_head": 0.1}),
    "text fitted": Arm({"fit_text": True}),
    "caption dropout 0.05": Arm(spec={"caption_dropout": 0.05}),
    "moving average 0.99": Arm(spec={"ema": 0.99}),
    "now, without captions": Arm(NOW.row),
    "now, all weighed alike": Arm({**NOW.row, "outside_head": 1.0}, NOW.spec),
    "now, caption dropout 0.05": Arm(NOW.row, {**NOW.spec, "caption_dropout": 0.05}),
}  # fmt: skip


@dataclass(frozen=True)
class Part:
    """Trainings that are compared: every arm on every subject by every seed, up to so many steps,
    with the LoRA looked at after each of some."""

    kind: str  # of subjects, as `pretrain.subjects` names them
    subjects: Sequence[int]
    seeds: Sequence[int]
    arms: dict[str, tuple[int, ...]]  # the steps at which each is looked at


ALONE = ("before", "captions by the reader", "captions without the place in the frame", "rate 1e-3", "head weighed", "text fitted",
         "caption dropout 0.05", "moving average 0.99")  # fmt: skip
PARTS = {
    "people": Part("people", (0, 3, 8, 1, 5), (0, 1), {"now": (100, 150), "before": (100, 150)}),
    "longer": Part("people", (0, 3, 8), (0,), {"now": (300,), "before": (300,)}),
    "alone": Part("people", (0, 3, 8), (0,), dict.fromkeys(ALONE, (150,))),
    "left out": Part(
        "people", (0, 3, 8), (0,),
        dict.fromkeys(("now, without captions", "now, all weighed alike",
                       "now, caption dropout 0.05"), (100, 150)),
    ),
    "objects": Part("objects", (0, 1, 2), (0,), {"now": (100, 150), "before": (300,)}),
    "styles": Part("styles", (0, 1, 2), (0,), {"now": (100, 150), "before": (300,)}),
}  # fmt: skip


def trained(
    family: Family, kind: str, number: int, arm: str, seed: int, looks: Sequence[int], sheet: Path
) -> dict[str, Any]:
    """One training, looked at after so many steps."""
    chosen, rng = subject(kind, number), random.Random(f"{kind} {number}")
    asked = [chosen.prompt(rng) for _ in range(PROMPTS)]
    row = registry.BASES["nano"]
    began: dict[int, float] = {}

    def tell(event: Any) -> None:
        if event["event"] in ("prepared", "stage"):
            began[event.get("step", 0)] = time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        photos = photos_of(chosen, rng, Path(folder) / "photos")
        stages = max(looks) // _step(looks)
        registry.BASES["nano"] = replace(row, **{**BEFORE, **ARMS[arm].row})
        captions.worded = functools.partial(_worded, ARMS[arm].unsaid)
        try:
            spec = TrainSpec(
                **{"class_name": chosen.class_name, "base": "nano", "seed": seed,
                   "steps": max(looks), "stages": stages, "checkpoint_every": 100_000,
                   "captioner": "none", "choose_within": 0} | ARMS[arm].spec
            )  # fmt: skip
            train(photos, spec, Path(folder) / "run", tell, family=family)
        finally:
            registry.BASES["nano"], captions.worded = row, _all_worded
        told: dict[str, Any] = {"kind": kind, "subject": number, "arm": arm, "seed": seed}
        seen = []
        for step in looks:
            lora = Path(folder) / "run" / "stages" / f"step-{step:06d}.safetensors"
            pictures = drawn([text for text, _ in asked], lora, family)
            found = scored(pictures, chosen, [wish for _, wish in asked])
            told[str(step)] = found | {"seconds": round(began[step] - began[0], 2)}
            seen += pictures[:PROMPTS]
        shown = [Image.open(path).resize((128, 128)) for path in sorted(photos.iterdir())]
        grid([*shown, *seen], PROMPTS).save(sheet)
    return told


_all_worded = captions.worded


def _worded(unsaid: Sequence[str], reading: attribute_reader.Reading) -> Seen:
    return _all_worded({name: value for name, value in reading.items() if name not in unsaid})


def photos_of(chosen: Subject, rng: random.Random, folder: Path, count: int = PHOTOS) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        chosen.photo(rng).draw(384, 384, rng).save(folder / f"{i}.png")
    return folder


def drawn(texts: Sequence[str], lora: Path, family: Family) -> list[Image.Image]:
    """The texts by each of SEEDS."""
    return [
        picture.image
        for seed in SEEDS
        for picture in generate(
            list(texts), GenerateSpec(base="nano", seed=seed, loras=(str(lora),)), family=family
        )
    ]


def scored(
    pictures: Sequence[Image.Image], chosen: Subject, wishes: Sequence[dict[str, str]]
) -> dict[str, float | None]:
    """Identity and prompt, 0 to 1; identity is None for what the reader does not know."""
    reader = attribute_reader.load_reader()
    readings = reader.read(pictures)
    wanted = [
        {name: value for name, value in wish.items() if name in reader.attributes}
        for wish in itertools.islice(itertools.cycle(wishes), len(pictures))
    ]
    known = {
        name: value
        for name, value in chosen.identity.items()
        if value in reader.attributes.get(name, ())
    }
    same = likeness.agreement(readings, [known] * len(readings)) if known else None
    return {"identity": same, "prompt": likeness.agreement(readings, wanted)}


def _step(looks: Sequence[int]) -> int:
    """The largest step that all of them are multiples of."""
    return next(n for n in range(min(looks), 0, -1) if all(look % n == 0 for look in looks))


def missing(part: Part, done: Sequence[dict[str, Any]]) -> Iterator[tuple[int, str, int]]:
    """Subject, arm and seed of trainings that are not there yet; all arms of a pair in turn, so
    that they are paired however early it ends."""
    keys = {
        (row["kind"], row["subject"], row["arm"], row["seed"])
        for row in done
        if all(str(step) in row for step in part.arms.get(row["arm"], ()))
    }
    for seed, number, arm in itertools.product(part.seeds, part.subjects, part.arms):
        if (part.kind, number, arm, seed) not in keys:
            yield number, arm, seed


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(part: Part, rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for each arm and step: means over its trainings with their 95% intervals."""
    found = []
    for arm, looks in part.arms.items():
        own = [
            row
            for row in rows
            if (row["kind"], row["arm"]) == (part.kind, arm)
            and row["subject"] in part.subjects
            and row["seed"] in part.seeds
            and all(str(step) in row for step in looks)
        ]
        for step in looks:
            values = [row[str(step)] for row in own]
            if values:
                seconds = statistics.fmean(value["seconds"] for value in values)
                found.append([arm, str(step), str(len(values)),
                              interval([value["identity"] for value in values]),
                              interval([value["prompt"] for value in values]),
                              f"{seconds:.1f}"])  # fmt: skip
    return found


def interval(shares: Sequence[float | None]) -> str:
    """A mean in percent, with its 95% interval by resampling the trainings, and the least."""
    known = [share for share in shares if share is not None]
    if not known:
        return "–"
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(known, k=len(known))) for _ in range(2000))
    low, high = means[50], means[1949]
    return (
        f"{100 * statistics.fmean(known):.1f} ({100 * low:.0f} to {100 * high:.0f}; "
        f"least {100 * min(known):.0f})"
    )


def page(rows: Sequence[dict[str, Any]]) -> None:
    """Keeps the tables and their rows in bench/results."""
    described = machine.described(1)
    found = tables.load("recipe") | {
        name: {
            "machine": described,
            "by": f'python -m bench.recipe "{name}"',
            "columns": ["arm", "steps", "trainings", "identity, %", "prompt, %",
                        "processor seconds"],
            "rows": table(part, rows),
        }
        for name, part in PARTS.items()
        if table(part, rows)
    }  # fmt: skip
    tables.save("recipe", found)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.recipe", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--out", type=Path, required=True, help="a file of lines of JSON")
    parser.add_argument("--minutes", type=float, default=14, help="begin nothing after so many")
    parser.add_argument("--page", action="store_true", help="make the tables, train nothing")
    arguments = parser.parse_args()
    if arguments.page:
        page(read(arguments.out))
        return
    part, family = PARTS[arguments.part], loader.load("nano", training=True)
    began = time.monotonic()
    for number, arm, seed in missing(part, read(arguments.out)):
        if time.monotonic() - began > 60 * arguments.minutes:
            break
        sheet = arguments.out.parent / f"{part.kind}-{number}-{arm}-{seed}.png"
        row = trained(family, part.kind, number, arm, seed, part.arms[arm], sheet)
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
