"""Two held-out people in one picture: the sum of their LoRAs beside a scene whose heads are drawn
anew, each with one LoRA: `python -m bench.enhance pairs --loras DIR --sheet FILE`.

A reader says which attributes of each person the head on their side shows. What it reads off true
pictures of the same pairs is its ceiling.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from bench import machine
from bench.enhance import _held_out as held_out
from fluxbooth.evaluation import likeness
from fluxbooth.generation.enhance import heads, people
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.generation.sampling import draw
from fluxbooth.lora.inference import AdapterCache, apply_loras
from fluxbooth.models import loader
from pretrain import words
from pretrain.people import random_shot
from pretrain.renders import Pair, Portrait
from pretrain.subjects import held_out_people

SHAPE = (176, 96)  # pixels
LARGER = 2
SCENE = "scene without a LoRA"


def measured(
    pairs: list[tuple[int, int]], texts: int, loras: Path, strengths: list[float], sheet: Path
) -> list[list[Any]]:
    family, cache, reader = loader.load("nano"), AdapterCache(), likeness.load_reader()
    hits: dict[str, list[bool]] = {}
    two, pictures = 0, []
    for pair in pairs:
        rng = random.Random(f"pair {pair}")
        files = [held_out.lora(number, loras) for number in pair]
        for seed in range(texts):
            shots = [random_shot(rng, held_out_people()[number].style) for number in pair]
            place = words.place(shots[0].background, rng)
            arms = _arms(
                pair, place, seed, partial(held_out.drawer, family, cache, files), strengths
            )
            two += len(heads.find(arms[SCENE], family.row)) == 2
            left, right = (
                Portrait(held_out_people()[number], shot)
                for number, shot in zip(pair, shots, strict=True)
            )
            arms["true pictures"] = Pair(left, right).draw(*arms[SCENE].size, rng)
            for name, picture in arms.items():
                hits.setdefault(name, []).extend(_right(reader, picture, pair, family.row))
            pictures.append(list(arms.values()))
            print(pair, seed, {arm: held_out.share(each) for arm, each in hits.items()}, flush=True)
    held_out.sheet(pictures, 200).save(sheet)
    aims = {f"each drawn anew, strength {people.STRENGTH}": "75%, and 20 points over the sum"}
    rows = held_out.shares(hits, aims)
    return [*rows, ["pictures", len(pictures), ""], ["scenes with two heads", two, ""]]


def _arms(
    pair: tuple[int, int],
    place: str,
    seed: int,
    drawer: Callable[[Sequence[str]], Redraw],
    strengths: Sequence[float],
) -> dict[str, Image.Image]:
    """The pictures of one text and seed."""
    kinds = [held_out_people()[number].kind for number in pair]
    called = f"ohwx {kinds[0]} and ohwx {kinds[1]}, side by side, {place}"
    scene = people.scene_text(called, [f"ohwx {kind}" for kind in kinds])
    alone = [f"ohwx {kind}, {place}" for kind in kinds]
    both = drawer([called, scene, *alone])
    start = _drawn(both.with_loras(()), scene, seed)
    boxes = heads.find(start, both.family.row)
    somebody = [
        people.Somebody(both.with_loras([lora]), text)
        for lora, text in zip(both.loras, alone, strict=True)
    ]
    return {"sum of LoRAs": _drawn(both, called, seed), SCENE: start} | {
        f"each drawn anew, strength {strength}": people.draw_people(
            start, somebody, boxes, seed=seed, strength=strength
        )
        for strength in strengths
    }


def _drawn(redraw: Redraw, text: str, seed: int) -> Image.Image:
    with apply_loras(redraw.family, redraw.loras):
        (image,) = draw(
            redraw.family, redraw.texts[text], [seed], SHAPE, held_out.STEPS, held_out.GUIDANCE
        )
    size = (LARGER * image.width, LARGER * image.height)
    return image.resize(size, Image.Resampling.LANCZOS)


def _right(
    reader: likeness.Reader, picture: Image.Image, pair: tuple[int, int], row: Any
) -> list[bool]:
    """Of a person whose head is not found on their side, none."""
    middle, hits = picture.width / 2, []
    boxes = heads.find(picture, row)
    for number, on_left in zip(pair, (True, False), strict=True):
        mine = [box for box in boxes if ((box[0] + box[2]) / 2 < middle) == on_left]
        box = max(mine, key=lambda box: box[3] - box[1], default=None)
        hits += (
            held_out.right(reader, picture, box, number)
            if box
            else [False] * len(likeness.IDENTITY)
        )
    return hits


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.enhance pairs", description=__doc__)
    parser.add_argument("--pairs", nargs="+", default=["0,3", "1,4"], metavar="LEFT,RIGHT")
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--strengths", type=float, nargs="+", default=[people.STRENGTH])
    parser.add_argument("--loras", type=Path, required=True, help="kept there")
    parser.add_argument("--sheet", type=Path, required=True)
    parser.add_argument("--save", action="store_true", help="in bench/results/redraw.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    told = machine.described(1)
    pairs: list[Any] = [tuple(map(int, pair.split(","))) for pair in asked.pairs]
    rows = measured(pairs, asked.texts, asked.loras, asked.strengths, asked.sheet)
    if asked.save:
        by = f"python -m bench.enhance pairs --pairs {' '.join(asked.pairs)} --texts {asked.texts}"
        held_out.keep("pairs", rows, told, by)


if __name__ == "__main__":
    main()
