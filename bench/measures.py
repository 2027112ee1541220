"""How far the measures of pictures and photos may be trusted: `python -m bench.measures PART`, each
part in a minute or two; writes bench/results/measures.json and the tables of docs/likeness.md.

faults: on photographs that packages ship (scikit-image, scikit-learn), whole and in quarters, and
on copies that were spoilt. lettering: on rendered signs, right and with one letter changed. faces:
dlib on rendered heads, which are no photographs (package anny). copies: renders of nano's styles.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import random
import string
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from bench import machine, tables

PHOTOGRAPHS = {
    "skimage": ("data", ["astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png",
                         "rocket.jpg", "camera.png"]),
    "sklearn": ("datasets/images", ["china.jpg", "flower.jpg"]),
}  # fmt: skip
Change = Callable[[Image.Image], Image.Image]


def photographs() -> list[Image.Image]:
    """Whole and in quarters."""
    found = []
    for package, (folder, names) in PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package)
        assert spec and spec.origin, f"pip install {package}"
        for name in names:
            picture = Image.open(Path(spec.origin).parent / folder / name).convert("RGB")
            w, h = picture.width // 2, picture.height // 2
            found += [
                picture,
                *(picture.crop((x, y, x + w, y + h)) for x in (0, w) for y in (0, h)),
            ]
    return found


def faults() -> dict[str, Any]:
    from fluxbooth.photos import faults as known

    pictures, columns = photographs(), [fault.code for fault in known.FAULTS]
    rows = [["photographs as they are", *_told(pictures, columns)]]
    rows += [
        [name, *_told([change(picture) for picture in pictures], columns)]
        for name, change in CHANGES.items()
    ]
    return {"columns": [f"of {len(pictures)} pictures each", *columns], "rows": rows}


def _told(pictures: Sequence[Image.Image], codes: Sequence[str]) -> list[int]:
    from fluxbooth.photos import faults as known

    told = [[fault.code for fault in known.of(np.asarray(picture))] for picture in pictures]
    return [sum(code in codes_ for codes_ in told) for code in codes]


def _jpeg(quality: int) -> Change:
    def change(picture: Image.Image) -> Image.Image:
        held = io.BytesIO()
        picture.save(held, "JPEG", quality=quality)
        return Image.open(held).convert("RGB")

    return change


def _light(times: float) -> Change:
    return lambda picture: picture.point(lambda value: min(255, int(times * value)))


def _blur(share: float) -> Change:
    """By a share of a thousandth of the diagonal."""
    return lambda picture: picture.filter(
        ImageFilter.GaussianBlur(float(share * np.hypot(*picture.size) / 1000))
    )


CHANGES: dict[str, Change] = {
    "blurred a little": _blur(1.5), "blurred": _blur(4), "a quarter of the light": _light(0.25),
    "twice the light": _light(2), "three times the light": _light(3),
    "JPEG 75": _jpeg(75), "JPEG 20": _jpeg(20), "JPEG 10": _jpeg(10),
}  # fmt: skip


def sessions() -> dict[str, Any]:
    """Pairs of crops of one photograph against pairs of two."""
    from fluxbooth.photos import variety

    rng, sets = random.Random(1), []
    for picture in photographs()[::5]:
        crops = []
        for _ in range(4):
            share = rng.uniform(0.75, 0.95)
            w, h = round(picture.width * share), round(picture.height * share)
            x, y = rng.randint(0, picture.width - w), rng.randint(0, picture.height - h)
            crop = _light(rng.uniform(0.9, 1.1))(picture.crop((x, y, x + w, y + h)))
            crops.append(np.asarray(crop))
        sets.append(crops)
    pair = [
        (i == j, len(variety.sessions([a, b])) == 1)
        for i, left in enumerate(sets)
        for j, right in enumerate(sets[: i + 1])
        for k, a in enumerate(left)
        for b in (right[:k] if i == j else right)
    ]
    same = [told for one, told in pair if one]
    other = [told for one, told in pair if not one]
    return {
        "columns": ["pairs of photos", "pairs", "told as one session"],
        "rows": [
            ["crops of one photograph, light changed", len(same), sum(same)],
            ["of two photographs", len(other), sum(other)],
        ],
    }


def signs(count: int = 60) -> Iterator[tuple[str, Image.Image]]:
    rng = random.Random("signs")
    words = [
        "BAKERY",
        "Open late",
        "No. 42",
        "COFFEE",
        "Fresh bread",
        "Hotel Luna",
        "EXIT",
        "Books",
    ]
    for i in range(count):
        text, size = words[i % len(words)], rng.randint(22, 60)
        dark, light = (
            tuple(rng.randint(*ends) for _ in range(3)) for ends in ((0, 90), (170, 255))
        )
        paper, ink = (dark, light) if rng.random() < 0.5 else (light, dark)
        sign = Image.new("RGB", (420, 200), paper)
        place = (rng.randint(10, 50), rng.randint(20, 90))
        ImageDraw.Draw(sign).text(place, text, fill=ink, font=ImageFont.load_default(size))
        sign = sign.rotate(rng.uniform(-8, 8), Image.Resampling.BICUBIC, fillcolor=paper)
        yield text, sign.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))


def lettering() -> dict[str, Any]:
    from fluxbooth.evaluation import lettering as measured

    rng, right, wrong, count = random.Random(2), 0, 0, 0
    for text, sign in signs():
        read = measured.read(sign)
        at = rng.choice([i for i, letter in enumerate(text) if letter.isalpha()])
        letters = [x for x in string.ascii_lowercase if x != text[at].lower()]
        other = text[:at] + rng.choice(letters) + text[at + 1 :]
        right += measured.found(text, read) == 1
        wrong += measured.found(other, read) == 1
        count += 1
    return {
        "columns": ["signs", "signs, number", "told as word for word"],
        "rows": [["as quoted", count, right], ["one letter is another", count, wrong]],
    }


def faces(people: int = 8, each: int = 5) -> dict[str, Any]:
    from dataclasses import replace

    from fluxbooth.evaluation import face_identity
    from fluxbooth.evaluation.subjects import area_under_curve
    from pretrain import people as drawn
    from pretrain.renders import Portrait
    from pretrain.subjects import held_out_face

    rng, found, seen = random.Random(3), [], 0
    for number in range(people):
        who = replace(held_out_face(number), hair_colour="brown", skin="light", hair="short hair")
        heads = [
            Portrait(who, replace(drawn.random_shot(rng, "clay"), scale=1.1)).draw(384, 384, rng)
            for _ in range(each)
        ]
        numbers = [face_identity.of(head)[:1] for head in heads]
        seen += sum(map(len, numbers))
        found.append(np.concatenate(numbers))
    apart = [
        (i == j, 1 - float(np.linalg.norm(a - b)))
        for i, left in enumerate(found)
        for j, right in enumerate(found[: i + 1])
        for k, a in enumerate(left)
        for b in (right[:k] if i == j else right)
    ]
    same, other = ([value for one, value in apart if one is wanted] for wanted in (True, False))
    least = 1 - face_identity.SAME
    return {
        "columns": ["rendered heads, hair and skin alike", "figure"],
        "rows": [
            ["faces found", f"{seen} of {people * each}"],
            ["area under the curve", round(area_under_curve(same, other), 3)],
            ["same person called the same", f"{sum(x >= least for x in same)} of {len(same)}"],
            ["another called the same", f"{sum(x >= least for x in other)} of {len(other)}"],
        ],
    }


def copies(people: int = 12) -> dict[str, Any]:
    from fluxbooth.evaluation import copying
    from pretrain import people as drawn
    from pretrain.renders import Portrait

    rng, same, other = random.Random(4), [], []
    for _ in range(people):
        who = drawn.random_person(rng)
        shots = [
            Portrait(who, drawn.random_shot(rng, who.style)).draw(128, 128, rng) for _ in range(5)
        ]
        for i, shot in enumerate(shots):
            copy = shot.rotate(rng.uniform(-3, 3)).filter(ImageFilter.GaussianBlur(1.5))
            copy = copy.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if i % 2 else copy
            same.append(copying.likeness(copy, shot))
            other += [copying.likeness(shot, shots[j]) for j in range(i)]
    return {
        "columns": ["pictures of one person", "pairs", "told as copies"],
        "rows": [
            ["a photo turned, blurred, mirrored", len(same), sum(x >= copying.COPY for x in same)],
            ["two photos", len(other), sum(x >= copying.COPY for x in other)],
        ],
    }


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "faults": faults, "sessions": sessions, "lettering": lettering, "faces": faces,
    "copies": copies,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.measures", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    for part in parser.parse_args().parts:
        row = {"machine": machine.described(1), "by": f"python -m bench.measures {part}"}
        keep(part, row | PARTS[part]())


def keep(name: str, table: dict[str, Any]) -> None:
    """In the file of results, and on its page."""
    path = tables.RESULTS / "measures.json"
    tables.save("measures", (tables.load("measures") if path.exists() else {}) | {name: table})
    page = tables.ROOT / "docs" / "likeness.md"
    page.write_text(tables.made(page.read_text()))


if __name__ == "__main__":
    main()
