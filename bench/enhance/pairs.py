"""Two held-out people in one picture, as a user gets it, beside the sum of their LoRAs:
`python -m bench.enhance pairs --loras DIR --sheet FILE`.

A reader says which attributes of each person the head on their side shows. What it reads off true
pictures of the same pairs is its ceiling.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from PIL import Image

from bench.enhance import _held_out as held_out
from bench.enhance._held_out import Hits, Studio
from fluxbooth.generation.enhance import heads
from fluxbooth.generation.sampling import draw
from fluxbooth.lora.inference import apply_loras
from pretrain import words
from pretrain.people import random_shot
from pretrain.renders import Pair, Portrait
from pretrain.subjects import held_out_people

TEXTS = (
    "{} and {}, side by side",
    "{} next to {}",
    "{} and {}",
    "{} on the left, {} on the right",
)
SUM, OURS, TRUE = "sum of LoRAs", "each by their own", "true pictures"
COLUMNS = ["pictures", SUM, OURS, "points gained", TRUE, "both heads found"]
AIM = ["aim", "", "75%", "+20", "", ""]
Numbers = tuple[int, int]  # of the held-out people on the left and on the right


def asked_texts(pair: Numbers, count: int) -> Iterator[str]:
    """Each in a place, by the `TEXTS` in turn."""
    rng = random.Random(f"pair {pair}")
    who = [f"ohwx {held_out_people()[number].kind}" for number in pair]
    for i in range(count):
        place = words.place(random_shot(rng, "avatar").background, rng)
        yield f"{TEXTS[i % len(TEXTS)].format(*who)}, {place}"


def measured(
    studio: Studio, pairs: list[Numbers], texts: int, size: tuple[int, int]
) -> tuple[list[Any], list[list[Image.Image]]]:
    """A row of the table, and the pictures."""
    hits: Hits = {arm: {pair: [] for pair in pairs} for arm in (SUM, OURS, TRUE)}
    found, rows = 0, list[list[Image.Image]]()
    for pair in pairs:
        for seed, text in enumerate(asked_texts(pair, texts)):
            ours = studio.draw(text, pair, seed=seed, width=size[0], height=size[1], multi=True)
            found += ours.metadata["enhanced"][0]["drawn"] == 2
            arms = {
                SUM: _summed(studio, text, pair, seed, size),
                OURS: ours.image,
                TRUE: _true(pair, seed, size),
            }
            for arm, image in arms.items():
                hits[arm][pair] += _right(studio, image, pair)
            rows.append(list(arms.values()))
        print(size, pair, {arm: held_out.told(each) for arm, each in hits.items()}, flush=True)
    cells = [held_out.told(hits[arm]) for arm in (SUM, OURS)]
    gained = held_out.gained(hits[SUM], hits[OURS])
    shape = f"{size[0]} x {size[1]}"
    return [
        shape,
        *cells,
        gained,
        f"{held_out.share(hits[TRUE]):.0%}",
        f"{found} of {len(rows)}",
    ], rows


def _summed(
    studio: Studio, text: str, pair: Numbers, seed: int, size: tuple[int, int]
) -> Image.Image:
    both = studio.drawer(text, pair)
    with apply_loras(both.family, both.loras):
        told = both.texts[text]
        return draw(both.family, told, [seed], size, both.steps, both.guidance)[0]


def _true(pair: Numbers, seed: int, size: tuple[int, int]) -> Image.Image:
    rng, people = random.Random(f"true {pair} {seed}"), held_out_people()
    left, right = (
        Portrait(people[number], random_shot(rng, people[number].style)) for number in pair
    )
    return Pair(left, right).draw(*size, rng)


def _right(studio: Studio, picture: Image.Image, pair: Numbers) -> list[bool]:
    """Of a person whose head is not found on their side, none."""
    middle, boxes = picture.width / 2, heads.find(picture, studio.family.row)
    sides = [
        held_out.largest([box for box in boxes if ((box[0] + box[2]) / 2 < middle) == on_left])
        for on_left in (True, False)
    ]
    both = [box for box in sides if box]
    return [
        hit
        for number, box in zip(pair, sides, strict=True)
        for hit in studio.right(picture, box, number, both)
    ]


def main() -> None:
    parser = held_out.parser("pairs", __doc__)
    parser.add_argument("--pairs", nargs="+", default=["2,8"], metavar="LEFT,RIGHT")
    parser.add_argument("--texts", type=int, default=16, help="for each pair")
    parser.add_argument("--sizes", nargs="+", default=["128x128"], metavar="WIDTHxHEIGHT")
    asked = parser.parse_args()
    machine = held_out.machine_told()
    pairs: list[Any] = [tuple(map(int, pair.split(","))) for pair in asked.pairs]
    sizes: list[Any] = [tuple(map(int, size.split("x"))) for size in asked.sizes]
    by = f"python -m bench.enhance pairs --pairs {' '.join(asked.pairs)} --texts {asked.texts}"
    by += f" --sizes {' '.join(asked.sizes)}"
    studio, rows, pictures = Studio(asked.loras), list[list[Any]](), list[list[Image.Image]]()
    for size in sizes:  # each is kept when it is done, for all of them take long
        row, drawn = measured(studio, pairs, asked.texts, size)
        rows.append(row)
        pictures += drawn
        held_out.sheet(pictures).save(asked.sheet)
        if asked.save:
            held_out.keep("pairs", [*rows, AIM], machine, by, COLUMNS)


if __name__ == "__main__":
    main()
