"""Small heads before and after `inpaint_faces`, with LoRAs of held-out people:
`python -m bench.enhance faces --loras DIR --sheet FILE`.

People are drawn from afar in a wide picture, which is then enlarged; a reader says which attributes
of the person each head shows.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from bench import machine
from bench.enhance import _held_out as held_out
from fluxbooth.evaluation import likeness
from fluxbooth.generation.enhance import faces, heads
from fluxbooth.generation.sampling import draw
from fluxbooth.lora.inference import AdapterCache, apply_loras
from fluxbooth.models import loader
from pretrain.subjects import subject

FAR = (208, 80)  # pixels: the head is fifty high
LARGER = 3


def measured(
    numbers: list[int], texts: int, loras: Path, strengths: list[float], sheet: Path
) -> list[list[Any]]:
    family, cache = loader.load("nano"), AdapterCache()
    reader = likeness.load_reader()
    hits: dict[str, list[bool]] = {}
    found, pictures = 0, []
    for number in numbers:
        chosen, rng = subject("people", number), random.Random(f"afar {number}")
        for seed in range(texts):
            text, _ = chosen.prompt(rng)
            redraw = held_out.drawer(family, cache, [held_out.lora(number, loras)], [text])
            with apply_loras(family, redraw.loras):
                (far,) = draw(
                    family, redraw.texts[text], [seed], FAR, held_out.STEPS, held_out.GUIDANCE
                )
            before = far.resize((LARGER * far.width, LARGER * far.height), Image.Resampling.LANCZOS)
            boxes = heads.find(before, family.row)
            found += bool(boxes)
            box = max(boxes, key=lambda box: box[3] - box[1], default=None)
            arms = {"before": before} | {
                f"strength {strength}": faces.inpaint_faces(
                    before, redraw, boxes, seed=seed, strength=strength
                )
                for strength in strengths
            }
            for name, picture in arms.items():
                hits.setdefault(name, []).extend(held_out.right(reader, picture, box, number))
            pictures.append(list(arms.values()))
            print(
                number,
                seed,
                {name: held_out.share(each) for name, each in hits.items()},
                flush=True,
            )
    held_out.sheet(pictures, 130).save(sheet)
    aims = {f"strength {faces.INPAINT_STRENGTH}": "15 points over before"}
    rows = held_out.shares(hits, aims)
    return [
        *rows,
        ["pictures", len(pictures), ""],
        ["of them, with a head that was found", found, ""],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.enhance faces", description=__doc__)
    parser.add_argument("--people", type=int, nargs="+", default=[0, 3, 1, 4])
    parser.add_argument("--texts", type=int, default=6)
    parser.add_argument("--strengths", type=float, nargs="+", default=[faces.INPAINT_STRENGTH])
    parser.add_argument("--loras", type=Path, required=True, help="kept there")
    parser.add_argument("--sheet", type=Path, required=True)
    parser.add_argument("--save", action="store_true", help="in bench/results/redraw.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    told = machine.described(1)
    rows = measured(asked.people, asked.texts, asked.loras, asked.strengths, asked.sheet)
    if asked.save:
        people = " ".join(map(str, asked.people))
        by = f"python -m bench.enhance faces --people {people} --texts {asked.texts}"
        held_out.keep("faces", rows, told, by)


if __name__ == "__main__":
    main()
