"""Trains nano on good and bad sets of photos, and keeps what each drew for the page "Photos" of the
web app: `python -m pretrain.guide [SET ...]`. Some minutes of two cores each."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageFilter

from fluxbooth.evaluation.demo import SEED, SPEC
from fluxbooth.generation.generate import generate
from fluxbooth.specs import GenerateSpec
from fluxbooth.training.loop import train
from pretrain.demo_photos import SHOTS
from pretrain.people import HELD_OUT, Person, Shot
from pretrain.renders import Portrait

OUT = Path(__file__).parent.parent / "src" / "fluxbooth" / "web" / "static" / "guide"
STEPS, PHOTOS, PICTURES, SIDE, GAP = 400, 8, 4, 128, 6  # sides and gaps in pixels
BLUR = 0.02  # of a photo's width
PROMPTS = (
    "ohwx man wearing a red hoodie, smiling, at the beach",
    "ohwx man in a blue t-shirt, angry, in a city at night",
    "ohwx man in a white sweater, sad, in snowy mountains",
    "ohwx man wearing yellow overalls, surprised, in a forest",
)
Picture = Image.Image


def photos_of(
    shots: Sequence[tuple[Shot, tuple[int, int]]], people: Sequence[int]
) -> list[Picture]:
    """One photo a shot, of the held-out people of these numbers in turn."""
    rng = random.Random("guide")
    subjects = [Person(**HELD_OUT["people"][number]) for number in people]
    return [
        Portrait(subjects[i % len(subjects)], shot).draw(*size, rng)
        for i, (shot, size) in enumerate(shots[:PHOTOS])
    ]


def varied() -> list[Picture]:
    return photos_of(SHOTS, [0])


def blurred() -> list[Picture]:
    return [photo.filter(ImageFilter.GaussianBlur(BLUR * photo.width)) for photo in varied()]


def alike() -> list[Picture]:
    """The same clothes, place and mood, a step to the side."""
    shot, size = SHOTS[2]
    places = ("left", "centre", "right")
    return photos_of(
        [
            (replace(shot, position=places[i % 3], scale=0.9 + 0.03 * i), size)
            for i in range(PHOTOS)
        ],
        [0],
    )


def mixed() -> list[Picture]:
    """Two people, taken for one."""
    return photos_of(SHOTS, [0, 1])


def few() -> list[Picture]:
    return varied()[:4]


SETS: dict[str, Callable[[], list[Picture]]] = {
    "varied": varied,
    "alike": alike,
    "blurred": blurred,
    "mixed": mixed,
    "few": few,
}


def grid(pictures: Sequence[Picture], columns: int) -> Picture:
    """Side by side on white, each cut to a square."""
    rows = -(-len(pictures) // columns)
    step = SIDE + GAP
    sheet = Image.new("RGB", (columns * step - GAP, rows * step - GAP), "white")
    for i, picture in enumerate(pictures):
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        sheet.paste(
            square.resize((SIDE, SIDE), Image.Resampling.LANCZOS),
            (i % columns * step, i // columns * step),
        )
    return sheet


def draw(name: str) -> None:
    """Writes `NAME-photos.webp` and `NAME-pictures.webp`."""
    photos = SETS[name]()
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "photos")
        given.mkdir()
        for number, photo in enumerate(photos, 1):
            photo.save(given / f"{number:02d}.png")
        spec = SPEC.model_copy(update={"base": "nano", "steps": STEPS})
        lora = train(given, spec, Path(folder, "run")).lora
        asked = GenerateSpec(base="nano", seed=SEED, loras=(str(lora),))
        made = [picture.image for picture in generate(list(PROMPTS), asked)]
    OUT.mkdir(exist_ok=True)
    grid(photos, PICTURES).save(OUT / f"{name}-photos.webp", quality=88)
    grid(made, PICTURES).save(OUT / f"{name}-pictures.webp", quality=88)


if __name__ == "__main__":
    for chosen in sys.argv[1:] or SETS:
        draw(chosen)
