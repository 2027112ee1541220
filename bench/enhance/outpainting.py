"""Pictures continued beyond their edges, and whether a seam is found in them.

    python -m bench.enhance outpainting draw --work DIR [--pictures N] [--keep]
    python -m bench.enhance outpainting verdicts NUMBER ... --work DIR [--keep]

`draw` continues pictures of held-out people, each of the nine anchors in turn, and measures that old
pixels stay and how much tones change across the old edge. It leaves sheets in DIR in which they are
mixed with renders that have no seam, and hides the key; `verdicts` takes the numbers of those in
which a seam was seen. `--keep` writes what was found to bench/results.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from bench import machine, tables
from bench.enhance import _held_out as held_out
from bench.enhance.masks import reconstructed
from fluxbooth.generation.enhance import outpainting
from fluxbooth.generation.sampling import draw
from fluxbooth.lora.inference import AdapterCache
from fluxbooth.models import loader
from pretrain.people import random_shot
from pretrain.renders import Portrait
from pretrain.subjects import held_out_people

SIDE = 128
SIZES = (
    (192, 128), (192, 176), (208, 144), (160, 192), (256, 192), (256, 256), (176, 160),
)  # fmt: skip
WHOLE = 8  # renders that are mixed in
STRIP, RUN = 3, 5  # pixels on each side of a line whose tones are compared; and along it
ELSEWHERE = (-32, -24, -16, -8, 8, 16, 24, 32)  # pixels from the old edge: lines to compare it with
SHOWN, ACROSS = 3, 3  # times as large; pictures in a row of a sheet
Box = tuple[int, int, int, int]


def continued(count: int) -> Iterator[tuple[Image.Image, Image.Image, Box]]:
    """A picture, the larger one, and where the first is in it."""
    family, cache, rng = loader.load("nano"), AdapterCache(), random.Random("outpainting, third")
    for number in range(count):
        who = held_out_people()[(number + 7) % 24]
        shot = random_shot(rng, who.style)
        text = Portrait(who, shot).caption(rng)
        redraw = held_out.drawer(family, cache, [], [text])
        (picture,) = draw(
            family,
            redraw.texts[text],
            [300 + number],
            (SIDE, SIDE),
            held_out.STEPS,
            held_out.GUIDANCE,
        )
        anchor = outpainting.ANCHORS[number % len(outpainting.ANCHORS)]
        width, height = SIZES[number % len(SIZES)]
        larger = outpainting.outpaint(
            picture, redraw, anchor=anchor, width=width, height=height, seed=number
        )
        yield picture, larger, outpainting.canvas(picture.size, anchor, width, height)[1]


def whole(count: int) -> list[Image.Image]:
    """Renders of the same sizes, as nano's autoencoder draws them: they have no seam."""
    rng, found = random.Random("whole"), list[Image.Image]()
    for number in range(count):
        who = held_out_people()[number]
        size = SIZES[number % len(SIZES)]
        picture = Portrait(who, random_shot(rng, who.style)).draw(*size, rng)
        found += reconstructed([picture])
    return found


def measured(count: int, work: Path) -> list[list[Any]]:
    kept, ratios, pictures = 0, list[float](), list[Image.Image]()
    for picture, larger, box in continued(count):
        kept += np.array_equal(np.asarray(larger.crop(box)), np.asarray(picture))
        ratios.append(across(np.asarray(larger).astype(float), box))
        pictures.append(larger)
        print(len(pictures), round(ratios[-1], 2), flush=True)
    blind(pictures, whole(WHOLE), work)
    return [
        ["pictures", count, ""],
        ["of them, every old pixel unchanged", kept, count],
        ["change of tone across the old edge / across lines beside it, median",
         round(float(np.median(ratios)), 2), ""],
        ["the same, most", round(max(ratios), 2), ""],
        ["pictures in which it is above 1", sum(ratio > 1 for ratio in ratios), ""],
    ]  # fmt: skip


def across(pixels: np.ndarray, box: Box) -> float:
    """By how much tones change from one side of the old edge to the other, where they do most (95th
    percentile), over the same at lines beside it."""
    left, top, right, bottom = box
    at_edge, beside = list[np.ndarray](), list[np.ndarray]()
    turned = pixels.transpose(1, 0, 2)
    for grid, along, places in (
        (pixels[top:bottom], pixels.shape[1], (left, right)),
        (turned[left:right], pixels.shape[0], (top, bottom)),
    ):
        for place in (place for place in places if 0 < place < along):
            at_edge.append(change(grid, place))
            beside += [
                change(grid, place + by) for by in ELSEWHERE if STRIP <= place + by <= along - STRIP
            ]
    edge, other = (np.quantile(np.concatenate(found), 0.95) for found in (at_edge, beside))
    return float(edge / other)


def change(grid: np.ndarray, at: int) -> np.ndarray:
    """Of each place along the line before column `at`: how far the tones of its two sides differ."""
    sides = grid[:, at - STRIP : at].mean(1) - grid[:, at : at + STRIP].mean(1)
    return np.convolve(np.abs(sides).mean(1), np.full(RUN, 1 / RUN), "valid")


def blind(drawn: Sequence[Image.Image], seamless: Sequence[Image.Image], work: Path) -> None:
    """Sheets of all in an order drawn by lot, numbered from 1, and the key."""
    every = [(image, True) for image in drawn] + [(image, False) for image in seamless]
    random.SystemRandom().shuffle(every)
    (work / "key.json").write_text(json.dumps([continued for _, continued in every]))
    largest = SHOWN * max(max(size) for size in SIZES) + 20
    for first in range(0, len(every), 2 * ACROSS):
        sheet = Image.new("RGB", (ACROSS * largest, 2 * largest), "white")
        for place, (image, _) in enumerate(every[first : first + 2 * ACROSS]):
            corner = place % ACROSS * largest, place // ACROSS * largest
            size = image.width * SHOWN, image.height * SHOWN
            large = image.resize(size, Image.Resampling.BICUBIC)
            sheet.paste(large, (corner[0], corner[1] + 16))
            ImageDraw.Draw(sheet).text((corner[0] + 4, corner[1]), str(first + place + 1), "black")
        sheet.save(work / f"sheet-{first // (2 * ACROSS) + 1}.png")


def verdicts(work: Path, said: Sequence[int]) -> list[list[Any]]:
    key = json.loads((work / "key.json").read_text())
    found = [key[number - 1] for number in said]
    return [
        ["pictures in which a seam was seen, blind", found.count(True), 0],
        ["renders without a seam in which one was seen", found.count(False), ""],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.enhance outpainting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("draw", "verdicts"))
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER")
    parser.add_argument("--work", type=Path, required=True, help="where sheets are written")
    parser.add_argument("--pictures", type=int, default=20, metavar="N")
    parser.add_argument("--keep", action="store_true", help="write to bench/results/redraw.json")
    asked = parser.parse_intermixed_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    told = machine.described(1)
    if asked.what == "draw":
        rows = measured(asked.pictures, asked.work)
        (asked.work / "rows.json").write_text(json.dumps(rows))
    else:
        rows = json.loads((asked.work / "rows.json").read_text())
        rows += verdicts(asked.work, asked.numbers)
    print(tables.shown({"machine": told, "by": "", "columns": ["", "", ""], "rows": rows}))
    if asked.keep:
        by = f"python -m bench.enhance outpainting {asked.what}"
        held_out.keep("outpainting", rows, told, by)


if __name__ == "__main__":
    main()
