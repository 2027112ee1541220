"""Masks by words and removed backgrounds, on renders of people, faces and things that were held out,
against the exact ones: `python -m bench.enhance masks --sheet FILE`.

By intersection over union: of each picture that shows what the word names, then their mean.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from bench import machine, tables
from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import background, masks
from fluxbooth.models import registry
from fluxbooth.models.flux1.bases import NANO
from fluxbooth.prompts import mask_words
from fluxbooth.prompts.mask_words import PARTS
from pretrain import vae
from pretrain.parts import parts
from pretrain.people import HELD_OUT, random_shot, with_hat
from pretrain.renders import Pair, Portrait, Row
from pretrain.subjects import held_out_face, held_out_people, thing

WORDS = ("person", "background", "hair", "clothes", "head", "hat", "glasses", "animal", "object")
AIMS = {"person": 0.8, "background": 0.8, "hair": 0.6, "clothes": 0.6}
SHOWN = ("person", "hair", "clothes")
SIDE = 128
Reading = Callable[[Image.Image, str], np.ndarray]  # of a picture and a word, bool H x W


def held_out_rows() -> Iterator[Row]:
    rng = random.Random("masks")
    people = held_out_people()
    for number, who in enumerate(people * 2):
        shot = random_shot(rng, who.style)
        yield Portrait(who, with_hat(who, shot, rng) if number % 4 == 3 else shot)
    yield from (Portrait(who, random_shot(rng, "clay")) for who in map(held_out_face, range(12)))
    yield from (thing(name).photo(rng) for name in HELD_OUT["things"] * 2)
    flat = [who for who in people if who.style == people[0].style]
    for left, right in zip(flat[:8], flat[8:16], strict=True):
        yield Pair(*(Portrait(who, random_shot(rng, who.style)) for who in (left, right)))


def measured(sheet: Path | None) -> dict[str, Any]:
    """The tables, and the overlays as a picture."""
    rng, rows = random.Random("backgrounds"), list(held_out_rows())
    pictures = [row.draw(SIDE, SIDE, rng) for row in rows]
    decoded = reconstructed(pictures)
    exact = [parts(row, SIDE, SIDE) for row in rows]
    nano, photo = registry.find("nano"), registry.find("flux-dev")
    ours: Reading = lambda image, word: found(image, word, nano)  # noqa: E731
    selfie: Reading = lambda image, word: found(image, word, photo)  # noqa: E731
    words = [
        [
            word,
            overlap(ours, pictures, exact, word),
            overlap(ours, decoded, exact, word),
            overlap(selfie, pictures, exact, word) if word in mask_words.OF_PHOTOS else None,
            AIMS.get(word),
        ]
        for word in WORDS
    ]
    columns = ["word", "renders", "reconstructions", "renders, selfie segmentation", "aim"]
    if sheet:
        overlays(pictures, decoded).save(sheet)
    told = {"machine": machine.described(1), "by": "python -m bench.enhance masks"}
    return {
        "words": told | {"columns": columns, "rows": words},
        "background": told | {"row": cut(rows, pictures, decoded, exact)},
    }


def found(image: Image.Image, word: str, base: Any) -> np.ndarray:
    every = base.segmenter is not None
    chances = masks.likelihood(image, mask_words.parts_of(word, every), base)
    return np.asarray(chances) > 127


def overlap(
    read: Reading, pictures: list[Image.Image], exact: list[np.ndarray], word: str
) -> float:
    named, scores = mask_words.parts_of(word, every=True), []
    for picture, told in zip(pictures, exact, strict=True):
        label = np.where(told[..., 1] > 127, told[..., 0], 0)
        wanted = np.isin(label, [PARTS.index(part) for part in named])
        if wanted.any():
            seen = read(picture, word)
            scores.append((seen & wanted).sum() / (seen | wanted).sum())
    return round(float(np.mean(scores)), 3)


def cut(
    rows: list[Row],
    pictures: list[Image.Image],
    decoded: list[Image.Image],
    exact: list[np.ndarray],
) -> dict[str, float]:
    """Mean errors of 1: of the alpha, and of the picture on white, which a render on white shows
    as it is."""
    nano, result = registry.find("nano"), dict[str, float]()
    for name, images in (("renders", pictures), ("reconstructions", decoded)):
        alphas, raw = [], []
        for image, told in zip(images, exact, strict=True):
            true = told[..., 1] / 255
            rough = masks.likelihood(image, background.FOREGROUND, nano)
            raw.append(np.abs(np.asarray(rough) / 255 - true).mean())
            made = removed(image).getchannel("A")
            alphas.append(np.abs(np.asarray(made) / 255 - true).mean())
        result[f"alpha, {name}"] = float(np.mean(alphas))
        result[f"alpha before its edge is refined, {name}"] = float(np.mean(raw))
    pure, mixed = [], []
    for row, image, told in zip(rows, pictures, exact, strict=True):
        edge = (told[..., 1] > 12) & (told[..., 1] < 243)
        if isinstance(row, Portrait) and edge.any():
            white = replace(row, shot=replace(row.shot, background="white"))
            true = np.asarray(white.draw(SIDE, SIDE, random.Random(0)), np.float32) / 255
            made = removed(image)
            pure.append(np.abs(on_white(made) - true)[edge].mean())
            uncleaned = image.convert("RGBA")
            uncleaned.putalpha(made.getchannel("A"))
            mixed.append(np.abs(on_white(uncleaned) - true)[edge].mean())
    result["edge on white"] = float(np.mean(pure))
    result["edge on white, the background's colour left in it"] = float(np.mean(mixed))
    return {name: round(value, 4) for name, value in result.items()}


def removed(image: Image.Image) -> Image.Image:
    try:
        return background.remove(image, registry.find("nano"))
    except InputError:  # nothing is found, so all of it is background
        return Image.new("RGBA", image.size)


def on_white(cut: Image.Image) -> np.ndarray:
    canvas = Image.new("RGBA", cut.size, "#FAFAFA")
    canvas.alpha_composite(cut)
    return np.asarray(canvas.convert("RGB"), np.float32) / 255


@torch.no_grad()
def reconstructed(pictures: list[Image.Image]) -> list[Image.Image]:
    model = AutoencoderKL.from_pretrained(NANO / "vae", torch_dtype=torch.float32).eval()
    pixels = vae.to_model(np.stack([np.asarray(picture) for picture in pictures]))
    decoded = torch.cat([model(part).sample for part in pixels.split(20)])
    levels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(level) for level in levels]


def overlays(*columns: list[Image.Image]) -> Image.Image:
    """Each picture, what SHOWN words find on it (red, green, blue), and it cut out."""
    nano, tiles = registry.find("nano"), []
    for pictures in columns:
        for image in pictures[::4]:
            seen = np.stack([found(image, word, nano) for word in SHOWN[1:]], 2)
            person = found(image, SHOWN[0], nano)
            tint = np.dstack([seen, person & ~seen.any(2)]) * np.uint8(255)
            tinted = Image.blend(image, Image.fromarray(tint), 0.5)
            green = Image.new("RGBA", image.size, "#00C800")
            green.alpha_composite(removed(image))
            tiles.append((image, tinted, green.convert("RGB")))
    across, side = 5, SIDE
    sheet = Image.new("RGB", (3 * across * side, -(-len(tiles) // across) * side))
    for number, row in enumerate(tiles):
        for place, tile in enumerate(row):
            sheet.paste(tile, ((number % across * 3 + place) * side, number // across * side))
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.enhance masks", description=__doc__)
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="overlays, to be looked at")
    found = measured(parser.parse_args().sheet)
    tables.save("masks", found)
    for table in found.values():
        print(tables.shown(table), end="\n\n")


if __name__ == "__main__":
    main()
