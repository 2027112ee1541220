"""Upscaling beside Lanczos.

    python -m bench.enhance upscaling renders [--work DIR] [--pictures N] [--keep]
    python -m bench.enhance upscaling sheet --photographs DIR --work DIR [--network NAME]
    python -m bench.enhance upscaling verdicts A B = ... --work DIR [--keep]

`renders` enlarges drawings of held-out people from nano's size to four times that, and compares
them with the same drawings made that large; nano's weights have no part in it. `sheet` makes parts
of photographs twice as large and pairs of them without names, and hides the key; `verdicts` takes
which of each pair was preferred ("=": neither) and says which method that was. `--keep` writes what
was found to bench/results.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from bench import machine, tables
from fluxbooth.generation.enhance import upscaling
from pretrain.people import random_shot
from pretrain.renders import Pair, Portrait
from pretrain.subjects import held_out_people

SIDE, FACTOR = 128, 4
Method = Callable[[Image.Image], Image.Image]


def methods() -> dict[str, Method]:
    def by(name: Any) -> Method:
        return lambda image: upscaling.upscale(image, FACTOR, network=name).image

    def lanczos(image: Image.Image) -> Image.Image:
        size = FACTOR * image.width, FACTOR * image.height
        return image.resize(size, Image.Resampling.LANCZOS)

    return {upscaling.LANCZOS: lanczos, **{name: by(name) for name in reversed(upscaling.NETWORKS)}}


def drawings(count: int) -> list[tuple[Image.Image, Image.Image]]:
    """Held-out people at nano's size, every fifth picture with two of them, and the same larger."""
    rng, people = random.Random("upscaling"), held_out_people()
    rows: list[Portrait | Pair] = []
    for i in range(count):
        one, two = (
            Portrait(who, random_shot(rng, who.style))
            for who in (people[i % len(people)], people[(i + 1) % len(people)])
        )
        rows.append(Pair(one, two) if i % 5 == 4 else one)
    return [
        (
            row.draw(SIDE, SIDE, random.Random(i)),
            row.draw(SIDE, SIDE, random.Random(i), FACTOR),
        )
        for i, row in enumerate(rows)
    ]


# how near a picture is to the true one, both grey, 0 to 255


def gradient(grey: np.ndarray) -> np.ndarray:
    """Size of the slope by Prewitt's filters, of the inner pixels."""
    across = (grey[:-2] + grey[1:-1] + grey[2:]) / 3
    down = (grey[:, :-2] + grey[:, 1:-1] + grey[:, 2:]) / 3
    return np.hypot(across[:, 2:] - across[:, :-2], down[2:] - down[:-2])


def gmsd(grey: np.ndarray, true: np.ndarray) -> float:
    """Gradient magnitude similarity deviation (Xue, Zhang, Mou and Bovik 2014), halved in size
    first as there: 0 for the same picture."""

    def half(pixels: np.ndarray) -> np.ndarray:
        height, width = (side // 2 for side in pixels.shape)
        return pixels[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))

    one, two = gradient(half(grey)), gradient(half(true))
    return float(((2 * one * two + 170) / (one**2 + two**2 + 170)).std())


def steepness(grey: np.ndarray, true: np.ndarray) -> float:
    """Mean slope where the true picture has its steepest twentieth, in shares of the true one."""
    slope = gradient(true)
    strongest = slope >= np.quantile(slope, 0.95)
    return float(gradient(grey)[strongest].mean() / slope[strongest].mean())


def psnr(pixels: np.ndarray, true: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(pixels - true).mean()))


def compare(drawn: Image.Image, true: Image.Image) -> dict[str, float]:
    grey, true_grey = (np.asarray(image.convert("L"), np.float64) for image in (drawn, true))
    return {
        "GMSD": gmsd(grey, true_grey),
        "gradient on the strongest 5% of edges, of the true one": steepness(grey, true_grey),
        "PSNR, dB": psnr(np.asarray(drawn, np.float64), np.asarray(true, np.float64)),
    }


def renders(work: Path, count: int) -> dict[str, Any]:
    """Means over the pictures, by method; the first twelve are left in `work`."""
    pairs, row = drawings(count), {}
    for name, method in methods().items():
        method(pairs[0][0])  # its weights are read now
        began = time.process_time()
        drawn = [method(small) for small, _ in pairs]
        took = (time.process_time() - began) / count
        found = [compare(one, true) for one, (_, true) in zip(drawn, pairs, strict=True)]
        row[name] = {key: fmean(each[key] for each in found) for key in found[0]}
        row[name]["cpu seconds a picture, one thread"] = took
        print(name, row[name], flush=True)
        for i, image in enumerate(drawn[:12]):
            image.save(work / f"{i}-{name}.png")
    for i, (_, true) in enumerate(pairs[:12]):
        true.save(work / f"{i}-true.png")
    return row


# photographs, to be judged by eye


def parts(folder: Path, count: int, side: int = 128) -> list[Image.Image]:
    """Squares of the photographs in a folder, where they have most to show, in turn from each."""
    rng, found = random.Random("parts"), list[Image.Image]()
    photographs = [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]
    for i in range(count):
        photograph = photographs[i % len(photographs)]
        tried = []
        for _ in range(8):
            x = rng.randrange(photograph.width - side + 1)
            y = rng.randrange(photograph.height - side + 1)
            tried.append(photograph.crop((x, y, x + side, y + side)))
        found.append(max(tried, key=lambda part: float(np.asarray(part.convert("L")).std())))
    return found


def sheet(photographs: Path, work: Path, network: Any, count: int = 20) -> None:
    """`pair-NN.png`: left A, right B, twice as large as the photograph, and shown at twice that."""
    rng, key = random.SystemRandom(), []
    for i, part in enumerate(parts(photographs, count)):
        both = {
            network: upscaling.upscale(part, 2, network=network).image,
            upscaling.LANCZOS: part.resize(
                (2 * part.width, 2 * part.height), Image.Resampling.LANCZOS
            ),
        }
        order = list(both)
        rng.shuffle(order)
        key.append(order)
        page = Image.new("RGB", (4 * part.width * 2 + 20, 4 * part.height + 24), "white")
        for place, (letter, name) in enumerate(zip("AB", order, strict=True)):
            left = place * (4 * part.width + 20)
            shown = both[name].resize((4 * part.width, 4 * part.height), Image.Resampling.NEAREST)
            page.paste(shown, (left, 24))
            ImageDraw.Draw(page).text((left + 4, 6), f"{i + 1}{letter}", fill="black")
        page.save(work / f"pair-{i + 1:02}.png")
    (work / "key.json").write_text(json.dumps(key))


def verdicts(work: Path, said: Sequence[str]) -> dict[str, Any]:
    """How often each method was preferred; "=" stands for neither."""
    key = json.loads((work / "key.json").read_text())
    assert len(said) == len(key), f"{len(said)} verdicts on {len(key)} pairs"
    chosen = [
        "neither" if letter == "=" else order["AB".index(letter)]
        for letter, order in zip(said, key, strict=True)
    ]
    return {name: chosen.count(name) for name in (*sorted(key[0], reverse=True), "neither")}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.enhance upscaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("renders", "sheet", "verdicts"))
    parser.add_argument("letters", nargs="*", metavar="A|B|=", help="verdicts in order")
    parser.add_argument("--work", type=Path, required=True, help="where pictures are written")
    parser.add_argument("--photographs", type=Path, help="a folder of nothing else")
    parser.add_argument("--network", choices=upscaling.NETWORKS, default=upscaling.BEST)
    parser.add_argument("--pictures", type=int, default=40, metavar="N")
    parser.add_argument("--keep", action="store_true", help="write the figures to bench/results")
    given = parser.parse_intermixed_args()
    given.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    told = machine.described(1)
    if given.what == "sheet":
        sheet(given.photographs, given.work, given.network)
        return
    row = (
        renders(given.work, given.pictures)
        if given.what == "renders"
        else verdicts(given.work, given.letters)
    )
    print(json.dumps(row, indent=1))
    if given.keep:
        found = tables.load("upscaling") if (tables.RESULTS / "upscaling.json").exists() else {}
        by = "python -m bench.enhance upscaling " + given.what
        name = "fast-verdicts" if upscaling.FAST in row and given.what == "verdicts" else given.what
        tables.save("upscaling", {**found, name: {"machine": told, "by": by, "row": row}})
