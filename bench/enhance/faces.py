"""Small heads before and after `inpaint_faces`, with LoRAs of held-out people:
`python -m bench.enhance faces --loras DIR --sheet FILE`.

People are drawn from afar in a wide picture, which super-resolution then enlarges; a reader says
which attributes of the person each head shows.
"""

from __future__ import annotations

import random
from typing import Any

from PIL import Image

from bench.enhance import _held_out as held_out
from bench.enhance._held_out import Hits, Studio
from fluxbooth.generation.enhance import faces, heads, upscaling
from fluxbooth.generation.enhance.heads import Box
from fluxbooth.models import enlarging
from pretrain.subjects import subject

FAR = (208, 80)  # pixels: the head is fifty high
BEFORE = "before"


def measured(
    studio: Studio, people: list[int], texts: int, strengths: list[float]
) -> tuple[list[list[Any]], list[list[Image.Image]]]:
    """Rows of the table, and the pictures."""
    arms = [BEFORE, *(f"strength {strength}" for strength in strengths)]
    hits: Hits = {arm: {number: [] for number in people} for arm in arms}
    found, pictures = 0, list[list[Image.Image]]()
    for number in people:
        chosen, rng = subject("people", number), random.Random(f"afar {number}")
        for seed in range(texts):
            text, _ = chosen.prompt(rng)
            images, boxes = _drawn(studio, text, number, seed, strengths)
            found += bool(boxes)
            for arm, image in zip(arms, images, strict=True):
                hits[arm][number] += studio.right(image, held_out.largest(boxes), number)
            pictures.append(images)
        print(number, {arm: held_out.told(each) for arm, each in hits.items()}, flush=True)
    rows: list[list[Any]] = [[BEFORE, held_out.told(hits[BEFORE]), "", ""]]
    for strength, arm in zip(strengths, arms[1:], strict=True):
        aim = "+15" if strength == faces.INPAINT_STRENGTH else ""
        rows.append([arm, held_out.told(hits[arm]), held_out.gained(hits[BEFORE], hits[arm]), aim])
    return [*rows, ["pictures with a head", f"{found} of {len(pictures)}", "", ""]], pictures


def _drawn(
    studio: Studio, text: str, number: int, seed: int, strengths: list[float]
) -> tuple[list[Image.Image], list[Box]]:
    """The picture enlarged, and that with its face drawn anew at each strength; and the heads. By
    the upscaler that takes a moment, and the drawn face by Lanczos: what is read is smaller."""
    small = studio.draw(text, [number], seed=seed, width=FAR[0], height=FAR[1]).image
    large = upscaling.upscale(small, 4, network=enlarging.FAST).image
    redraw = studio.drawer(text, [number])
    boxes = heads.find(large, redraw.family.row)
    after = [
        faces.inpaint_faces(large, redraw, boxes, seed=seed, strength=strength)
        for strength in strengths
    ]
    return [large, *after], boxes


def main() -> None:
    parser = held_out.parser("faces", __doc__)
    parser.add_argument("--people", type=int, nargs="+", default=[2])
    parser.add_argument("--texts", type=int, default=8, help="for each of them")
    parser.add_argument("--strengths", type=float, nargs="+", default=[faces.INPAINT_STRENGTH])
    asked = parser.parse_args()
    machine, studio = held_out.machine_told(), Studio(asked.loras)
    rows, pictures = measured(studio, asked.people, asked.texts, asked.strengths)
    held_out.sheet(pictures, 130).save(asked.sheet)
    if asked.save:
        people, strengths = (" ".join(map(str, one)) for one in (asked.people, asked.strengths))
        by = f"python -m bench.enhance faces --people {people} --texts {asked.texts}"
        columns = ["identity attributes right", "figure", "points gained", "aim"]
        held_out.keep("faces", rows, machine, f"{by} --strengths {strengths}", columns)


if __name__ == "__main__":
    main()
