"""Pictures that a user would keep: `python -m bench.keepers --out FILE`.

Held-out people, each trained with nothing but defaults, so that nano's recipe, the choice of the
best checkpoint and the early end are all in it, and once as before the recipe, 300 steps. Each
result draws sixteen square pictures (eight prompts by two seeds, 28 steps), read as in
`bench.recipe`, and the eight of the first seed in two more shapes.

A picture of the first eight is kept if the identity embedding, which no training used, finds it
liker to the subject's photos than to those of five lookalikes, and the reader sees all that its
prompt asks for. A lookalike is the subject but for one trait: hair's shape, glasses or beard; class,
skin and (but where a style has too few shapes) the colour of the hair are the same. FILE gets a line of JSON for each training, and one
that is there already is not done again; `--page` makes the tables of the documents from it.
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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from bench import machine, tables
from bench.recipe import BEFORE, PROMPTS, SEEDS, photos_of, read, scored
from fluxbooth import GenerateSpec, TrainSpec, generate, train
from fluxbooth.evaluation import copying
from fluxbooth.evaluation.identity import Identity, load_identity
from fluxbooth.models import attribute_reader, loader, registry
from fluxbooth.models.family import Family
from pretrain.evaluate import grid
from pretrain.people import (
    BEARDS,
    GLASSES,
    HAIR_COLOURS,
    MAN_HAIR,
    TOON_HAIR,
    WOMAN_HAIR,
    Person,
)
from pretrain.subjects import held_out_people, person

PEOPLE, TRAININGS = tuple(range(10)), (0, 1, 2)
LOOKALIKES, PHOTOS_OF_ONE = 5, 6
SHAPES = ("1:1", "9:16", "16:9")
ARMS = {"defaults": TRAININGS, "300 steps, before": TRAININGS[:1]}


def lookalikes(who: Person, rng: random.Random) -> list[Person]:
    """Others who differ from somebody in one trait; where a style has too few, in hair's colour."""
    shapes = (
        TOON_HAIR[who.kind]
        if who.style == "toon"
        else (MAN_HAIR if who.kind == "man" else WOMAN_HAIR)
    )
    others = [replace(who, hair=hair) for hair in shapes if hair != who.hair]
    if who.style != "toon":
        others += [replace(who, glasses=worn) for worn in GLASSES if worn != who.glasses]
    if who.kind == "man":
        beards = ("none", "a beard", "a moustache") if who.style == "toon" else tuple(BEARDS)
        others += [replace(who, beard=beard) for beard in beards if beard != who.beard]
    rng.shuffle(others)
    colours = [colour for colour in HAIR_COLOURS if colour != who.hair_colour]
    others += [replace(who, hair_colour=colour) for colour in colours]
    return others[:LOOKALIKES]


def kept(
    pictures: Sequence[Image.Image],
    everybody: Sequence[torch.Tensor],
    wishes: Sequence[dict[str, str]],
    identity: Identity,
) -> dict[str, int]:
    """How many of the pictures are the first of everybody, how many show all that was asked, and
    how many do both."""
    reader = attribute_reader.load_reader()
    who = [_first(picture, everybody, identity) for picture in pictures]
    shown = [
        all(seen.get(name) == value for name, value in wish.items() if name in reader.attributes)
        for seen, wish in zip(reader.read(pictures), wishes, strict=True)
    ]
    both = [a and b for a, b in zip(who, shown, strict=True)]
    return {"who": sum(who), "shown": sum(shown), "kept": sum(both)}


def _first(picture: Image.Image, everybody: Sequence[torch.Tensor], identity: Identity) -> bool:
    """Whether a picture is liker to the first of everybody than to the others."""
    alike = [identity.similarity(picture, one) for one in everybody]
    return max(alike) == alike[0]


def trained(
    family: Family, identity: Identity, number: int, arm: str, seed: int, sheet: Path
) -> dict[str, Any]:
    who, rng = held_out_people()[number], random.Random(f"people {number}")
    chosen = person(who)
    asked = [chosen.prompt(rng) for _ in range(PROMPTS)]
    wishes = [wish for _, wish in asked]
    row, began = registry.BASES["nano"], list[float]()

    def tell(event: Any) -> None:
        if event["event"] in ("prepared", "step", "scored"):
            began.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        photos = photos_of(chosen, rng, Path(folder) / "photos")
        spec: dict[str, Any] = {"class_name": chosen.class_name, "base": "nano", "seed": seed}
        if arm != "defaults":
            registry.BASES["nano"] = replace(row, **BEFORE)
            spec |= {"steps": 300, "captioner": "none", "choose_within": 0}
        try:
            result = train(photos, TrainSpec(**spec), Path(folder) / "run", tell, family=family)
        finally:
            registry.BASES["nano"] = row
        draw = functools.partial(_drawn, [text for text, _ in asked], result.lora, family)
        square = [picture for each in SEEDS for picture in draw("1:1", each)]
        others = [
            person(one).photo(rng).draw(384, 384, rng)
            for one in lookalikes(who, rng)
            for _ in range(PHOTOS_OF_ONE)
        ]
        own = [Image.open(path).convert("RGB") for path in sorted(photos.iterdir())]
        everybody = [identity.subject(own)] + [
            identity.subject(others[at : at + PHOTOS_OF_ONE])
            for at in range(0, len(others), PHOTOS_OF_ONE)
        ]
        shapes = {"1:1": square[:PROMPTS]} | {shape: draw(shape, SEEDS[0]) for shape in SHAPES[1:]}
        renders = [person(who).photo(rng).draw(384, 384, rng) for _ in range(PROMPTS)]
        ceiling = sum(_first(render, everybody, identity) for render in renders)
        copies = [copying.nearest(picture, own)[1] >= copying.COPY for picture in square]
        shown = [picture.resize((128, 128)) for picture in [*own, *others[::PHOTOS_OF_ONE]]]
        blank = [Image.new("RGB", (128, 128), "white")] * (PROMPTS - LOOKALIKES)
        grid([*shown, *blank, *square[:PROMPTS]], PROMPTS).save(sheet)
        return {
            "subject": number, "arm": arm, "seed": seed,
            "steps": result.steps, "chosen": result.chosen,
            "seconds": round(began[-1] - began[0], 2),
            **scored(square, chosen, wishes * len(SEEDS)),
            "copies": sum(copies), "renders": ceiling,
            **{name: kept(drawn, everybody, wishes, identity) for name, drawn in shapes.items()},
        }  # fmt: skip


def _drawn(
    texts: Sequence[str], lora: Path, family: Family, shape: Any, seed: int
) -> list[Image.Image]:
    spec = GenerateSpec(base="nano", seed=seed, loras=(str(lora),), aspect_ratio=shape)
    return [picture.image for picture in generate(list(texts), spec, family=family)]


def missing(
    done: Sequence[dict[str, Any]], people: Sequence[int]
) -> Iterator[tuple[int, str, int]]:
    """Person, arm and seed of trainings that are not there yet."""
    keys = {(row["subject"], row["arm"], row["seed"]) for row in done}
    for seed, (arm, seeds), number in itertools.product(TRAININGS, ARMS.items(), people):
        if seed in seeds and (number, arm, seed) not in keys:
            yield number, arm, seed


def by_person(rows: Sequence[dict[str, Any]], value: Any) -> list[float]:
    """The mean over the trainings of each person."""
    found = {row["subject"]: [] for row in rows}
    for row in rows:
        found[row["subject"]].append(float(value(row)))
    return [statistics.fmean(values) for values in found.values()]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and its 95% interval, by resampling people: the trainings of one are not independent."""
    draw = random.Random(0)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(2000))
    return statistics.fmean(values), means[50], means[1949]


def page(rows: Sequence[dict[str, Any]]) -> None:
    """Keeps the tables in bench/results."""
    found = []
    for arm in ARMS:
        own = [row for row in rows if row["arm"] == arm]
        if not own:
            continue
        for name, value in (("identity", "identity"), ("prompt", "prompt")):
            people = by_person(own, lambda row, value=value: 100 * row[value])
            middle, low, high = interval(people)
            found.append([f"{name}, %", arm, str(len(own)), f"{middle:.1f} ({low:.1f} to {high:.1f})",
                          f"{min(people):.1f}"])  # fmt: skip
        for shape in SHAPES:
            for name, key in (("kept", "kept"), ("the subject among six", "who")):
                people = by_person(own, lambda row, shape=shape, key=key: row[shape][key])
                found.append([f"{name}, of 8, {shape}", arm, str(len(own)),
                              f"median {statistics.median(people):.1f}", f"{min(people):.1f}"])  # fmt: skip
        renders = by_person(own, lambda row: row["renders"])
        found.append(["the same of true renders, of 8", arm, str(len(own)),
                      f"median {statistics.median(renders):.1f}", f"{min(renders):.1f}"])  # fmt: skip
        copies = by_person(own, lambda row: 100 * row["copies"] / (PROMPTS * len(SEEDS)))
        found.append(["copies of a photo, %", arm, str(len(own)), f"{statistics.fmean(copies):.1f}",
                      f"{max(copies):.1f} (most)"])  # fmt: skip
        seconds, steps = by_person(own, lambda row: row["seconds"]), [row["steps"] for row in own]
        found.append(["processor seconds, choosing included", arm, str(len(own)),
                      f"{statistics.fmean(seconds):.1f}, {statistics.fmean(steps):.0f} steps",
                      f"{max(seconds):.1f} (most)"])  # fmt: skip
    for name, key, beside in (
        (
            "identity, points above 300 steps before",
            "identity",
            lambda now, then: 100 * (now - then),
        ),
        ("prompt, points above 300 steps before", "prompt", lambda now, then: 100 * (now - then)),
        ("processor time, % of 300 steps before", "seconds", lambda now, then: 100 * now / then),
    ):
        found.extend(_paired(rows, name, key, beside))
    table = {
        "machine": machine.described(1),
        "by": "python -m bench.keepers",
        "columns": ["what", "training", "trainings", "mean over people", "worst person"],
        "rows": found,
    }
    tables.save("recipe", tables.load("recipe") | {"keepers": table})


def _paired(
    rows: Sequence[dict[str, Any]], name: str, key: str, beside: Callable[[float, float], float]
) -> list[list[str]]:
    """A row of the table on the people whom both arms trained, each by the mean of their seeds."""
    arms = [
        {
            number: statistics.fmean(own)
            for number in PEOPLE
            if (own := [r[key] for r in rows if (r["arm"], r["subject"]) == (arm, number)])
        }
        for arm in ARMS
    ]
    found = [beside(arms[0][number], arms[1][number]) for number in arms[0] if number in arms[1]]
    if not found:
        return []
    middle, low, high = interval(found)
    worst = max(found) if key == "seconds" else min(found)
    return [[name, next(iter(ARMS)), f"{len(found)} people", f"{middle:.1f} ({low:.1f} to {high:.1f})",
             f"{worst:.1f}"]]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.keepers", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a file of lines of JSON")
    parser.add_argument("--minutes", type=float, default=14, help="begin nothing after so many")
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE, metavar="N")
    parser.add_argument("--page", action="store_true", help="make the tables, train nothing")
    arguments = parser.parse_args()
    if arguments.page:
        page(read(arguments.out))
        return
    family, base = loader.load("nano", training=True), registry.find("nano")
    assert base.identity and base.heads
    identity, began = load_identity(base.identity, base.heads), time.monotonic()
    for number, arm, seed in missing(read(arguments.out), arguments.people):
        if time.monotonic() - began > 60 * arguments.minutes:
            break
        sheet = arguments.out.parent / f"keepers-{number}-{arm}-{seed}.png"
        row = trained(family, identity, number, arm, seed, sheet)
        with arguments.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
