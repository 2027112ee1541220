"""Twenty pictures continued beyond their edges, to be looked at for seams:
`python -m bench.enhance outpainting --sheet FILE`.

What is measured: that old pixels stay, and how much more neighbours differ across the old edge than
in the rest of the picture.
"""

from __future__ import annotations

import argparse
import itertools
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import machine
from bench.enhance import _held_out as held_out
from fluxbooth.generation.enhance import outpainting
from fluxbooth.generation.sampling import draw
from fluxbooth.lora.inference import AdapterCache
from fluxbooth.models import loader
from pretrain import words
from pretrain.people import random_shot
from pretrain.renders import Portrait
from pretrain.subjects import held_out_people

# nano knows nothing below shoulders: what is new lies beside and above
CASES = (
    ("center", 192, 128), ("bottom-center", 192, 176), ("bottom-left", 208, 144),
    ("bottom-right", 256, 192), ("bottom-center", 256, 256),
)  # fmt: skip


def measured(pictures: int, sheet: Path) -> list[list[Any]]:
    family, cache = loader.load("nano"), AdapterCache()
    rng = random.Random("outpainting")
    rows, ratios, kept = [], [], 0
    for number in range(pictures):
        who = held_out_people()[number % 24]
        shot = random_shot(rng, who.style)
        place = words.place(shot.background, rng)
        text = f"{Portrait(who, shot).caption(rng)}, {place}"
        redraw = held_out.drawer(family, cache, [], [text, place])
        (picture,) = draw(
            family, redraw.texts[text], [number], (128, 128), held_out.STEPS, held_out.GUIDANCE
        )
        anchor, width, height = CASES[number % len(CASES)]
        larger = outpainting.outpaint(
            picture, redraw, anchor=anchor, width=width, height=height, seed=number, text=place
        )
        _, box = outpainting.canvas(picture.size, anchor, width, height)
        kept += np.array_equal(np.asarray(larger.crop(box)), np.asarray(picture))
        ratios.append(_across(np.asarray(larger).astype(float), box))
        rows.append([picture, larger])
        print(number, anchor, width, height, round(ratios[-1], 2), flush=True)
    columns = [[*itertools.chain(*rows[i : i + 4])] for i in range(0, len(rows), 4)]
    held_out.sheet(columns, 256).save(sheet)
    return [
        ["pictures", pictures, ""],
        ["of them, every old pixel unchanged", kept, pictures],
        [
            "neighbours' difference across the old edge / elsewhere, median",
            round(float(np.median(ratios)), 2),
            "",
        ],
    ]


def _across(pixels: np.ndarray, box: tuple[int, int, int, int]) -> float:
    """Mean difference of neighbours on both sides of the old edge, over that of all."""
    left, top, right, bottom = box
    height, width = pixels.shape[:2]
    across, down = (np.abs(np.diff(pixels, axis=axis)).mean(2) for axis in (1, 0))
    lines = [across[top:bottom, at - 1] for at in (left, right) if 0 < at < width]
    lines += [down[at - 1, left:right] for at in (top, bottom) if 0 < at < height]
    return float(
        np.concatenate(lines).mean() / np.concatenate([across.ravel(), down.ravel()]).mean()
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.enhance outpainting", description=__doc__
    )
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--sheet", type=Path, required=True)
    parser.add_argument("--save", action="store_true", help="in bench/results/redraw.json")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    told = machine.described(1)
    rows = measured(asked.pictures, asked.sheet)
    if asked.save:
        by = f"python -m bench.enhance outpainting --pictures {asked.pictures}"
        held_out.keep("outpainting", rows, told, by)


if __name__ == "__main__":
    main()
