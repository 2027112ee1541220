"""Other sets of photos than eight of one person: `python -m bench.several --out FILE`.

4, 8, 20 and 200 photos of a held-out person, by nano's recipe and as many steps; a thing, a style;
two people in one LoRA, each with a caption of its own; a training that goes on with new photos.
Each draws sixteen pictures (eight prompts by two seeds, 28 steps), read as in `bench.recipe`. One
subject and one seed each, so these tell that it goes, and not how well it goes on the whole. FILE
gets a line of JSON for each case, and one that is there is not done again; `--page` makes the table
of the documents from it.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from bench import machine, tables
from bench.recipe import PHOTOS, PROMPTS, drawn, photos_of, read, scored
from fluxbooth import TrainSpec, train
from fluxbooth.models import loader
from fluxbooth.models.family import Family
from fluxbooth.photos import inspection
from fluxbooth.prompts.captions import TRIGGER, caption
from fluxbooth.training import captions
from pretrain.evaluate import grid
from pretrain.subjects import Subject, subject

STEPS, MORE = 150, 100  # of a training, of one that goes on
PERSON = 3
COUNTS = {f"{count} photos of a person": count for count in (4, 8, 20, 200)}
OTHERS = {"a thing": ("objects", 0), "a style": ("styles", 1)}
TWO, GOES_ON = "two people, a caption each", "4 photos of a person, then 8 new ones"
CASES = (*COUNTS, *OTHERS, TWO, GOES_ON)
TWO_OF = (("ohwx", 0), ("sks", 3))  # the rare word and the number of each
Asked = Sequence[tuple[str, dict[str, str]]]  # texts, and what a picture of each should show


def done(case: str, family: Family, folder: Path) -> tuple[dict[str, Any], list[Image.Image]]:
    """What a case came to, and pictures of it."""
    if case == TWO:
        return _two_people(family, folder)
    kind, number = OTHERS.get(case, ("people", PERSON))
    chosen, rng = subject(kind, number), random.Random(f"several {kind} {number}")
    asked = [chosen.prompt(rng) for _ in range(PROMPTS)]
    count = COUNTS.get(case, 4 if case == GOES_ON else PHOTOS)
    photos = photos_of(chosen, rng, folder / "photos", count)
    lora, seconds = _trained(photos, chosen.class_name, family, folder / "first")
    found, pictures = _seen(chosen, asked, lora, family)
    if case != GOES_ON:
        return {**found, "seconds": seconds, "photos": count}, pictures
    new = photos_of(chosen, rng, folder / "new")
    lora, more = _trained(
        new, chosen.class_name, family, folder / "more", MORE, continue_from=str(lora)
    )
    after, pictures = _seen(chosen, asked, lora, family)
    return {**after, "before": found, "seconds": seconds + more, "photos": count + PHOTOS}, pictures


def _two_people(family: Family, folder: Path) -> tuple[dict[str, Any], list[Image.Image]]:
    """One LoRA of both; a photo's caption names its person by a rare word of their own."""
    photos, people = folder / "photos", list[tuple[Subject, Asked]]()
    photos.mkdir()
    for token, number in TWO_OF:
        chosen, rng = subject("people", number), random.Random(f"several people {number}")
        words = f"{token} {chosen.class_name}"
        asked = [chosen.prompt(rng) for _ in range(PROMPTS)]
        own = photos_of(chosen, rng, folder / token)
        shown = inspection.read(own)
        for photo, seen in zip(shown, captions.seen(shown, family.row), strict=True):
            photo.path.rename(photos / f"{token}-{photo.path.name}")
            text = caption(seen or {}, chosen.class_name).replace(TRIGGER, words)
            (photos / f"{token}-{photo.path.stem}.txt").write_text(text)
        people.append((chosen, [(text.replace("ohwx", token), wish) for text, wish in asked]))
    lora, seconds = _trained(photos, "person", family, folder / "run")
    told, pictures = list[dict[str, Any]](), list[Image.Image]()
    for chosen, asked in people:
        found, drawn_ones = _seen(chosen, asked, lora, family)
        told.append(found)
        pictures += drawn_ones
    return {"each": told, "seconds": seconds, "photos": 2 * PHOTOS}, pictures


def _trained(
    photos: Path, class_name: str, family: Family, out: Path, steps: int = STEPS, **more: Any
) -> tuple[Path, float]:
    """The LoRA, and the processor seconds from the first step on."""
    began = list[float]()

    def tell(event: Any) -> None:
        if event["event"] in ("prepared", "step"):
            began.append(time.process_time())

    asked = {"class_name": class_name, "base": "nano", "steps": steps, "choose_within": 0}
    result = train(photos, TrainSpec.read(asked | more), out, tell, family=family)
    return Path(result.lora), round(began[-1] - began[0], 1)


def _seen(
    chosen: Subject, asked: Asked, lora: Path, family: Family
) -> tuple[dict[str, Any], list[Image.Image]]:
    pictures = drawn([text for text, _ in asked], lora, family)
    return scored(pictures, chosen, [wish for _, wish in asked]), pictures[:PROMPTS]


def page(rows: Sequence[dict[str, Any]]) -> None:
    """Keeps the table in bench/results."""
    cells = list[list[str]]()
    for row in sorted(rows, key=lambda row: CASES.index(row["case"])):
        steps = STEPS + MORE if row["case"] == GOES_ON else STEPS
        parts = {"": row}
        if row["case"] == TWO:
            names = ("the man", "the woman")
            parts = {f", {name}": one for name, one in zip(names, row["each"], strict=True)}
        if row["case"] == GOES_ON:
            parts = {", before": row["before"], ", after": row}
        for name, one in parts.items():
            cells.append([f"{row['case']}{name}", str(row["photos"]), str(steps),
                          _percent(one["identity"]), _percent(one["prompt"]),
                          f"{row['seconds']:.0f}"])  # fmt: skip
    table = {
        "machine": machine.described(1),
        "by": "python -m bench.several",
        "columns": ["what", "photos", "steps", "identity, %", "prompt, %", "processor seconds"],
        "rows": cells,
    }
    tables.save("several", {"cases": table})


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.several", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a file of lines of JSON")
    parser.add_argument("--minutes", type=float, default=12, help="begin nothing after so many")
    parser.add_argument("--page", action="store_true", help="make the table, train nothing")
    arguments = parser.parse_args()
    if arguments.page:
        page(read(arguments.out))
        return
    began, there = time.monotonic(), {row["case"] for row in read(arguments.out)}
    family = loader.load("nano", training=True)
    for case in CASES:
        if case in there or time.monotonic() - began > 60 * arguments.minutes:
            continue
        with tempfile.TemporaryDirectory() as folder:
            told, pictures = done(case, family, Path(folder))
        grid(pictures, PROMPTS).save(arguments.out.parent / f"{case}.png")
        with arguments.out.open("a") as file:
            file.write(json.dumps({"case": case, **told}) + "\n")
        print(case, json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
