"""Individuals for the identity embedding: who they are, and their pictures, rendered once.

Their colours are any, not those that captions name, and a head may be wider or narrower. Each has a
lookalike, who differs in one trait. Three drawing styles of DiceBear are drawn besides nano's own
four ("adventurer" by Lisa Wischofsky, "big-smile" by Ashley Seo, "big-ears" by The Visual Team, all
CC BY 4.0); a fourth ("micah" by Micah Lanier, CC BY 4.0), and hair and skin of green and teal, only
examine.
"""

from __future__ import annotations

import colorsys
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from fluxbooth.evaluation.identity import AROUND, around
from pretrain import people
from pretrain.backgrounds import background
from pretrain.people import Paint, Person, Shot
from pretrain.renders import Portrait, placed, rasterised

SIDE = 112  # pixels of a stored picture
WIDER = 1.4  # than what the embedding looks at, so that training may move its frame
PICTURES = 4  # of an individual
# styles that DiceBear alone draws: their traits, and which colours are the hair's and the skin's
DRAWN = {
    "adventurer": (("hair", "glasses", "details", "earrings"), ("mouth", "eyes", "eyebrows"), "hair", "skin"),
    "big-smile": (("hair", "accessories"), ("mouth", "eyes"), "hair", "skin"),
    "big-ears": (("hair", "frontHair", "ears", "nose", "head", "sideburns"), ("mouth", "eyes"), "hair", "skin"),
    "micah": (("hair", "facialHair", "glasses", "nose", "ears", "earrings"), ("mouth", "eyes", "eyebrows"), "hair", "base"),
}  # fmt: skip
UNSEEN_STYLE = "micah"
STYLES = {"avatar": 0.4, "toon": 0.14, "persona": 0.12, "clay": 0.1,
          "adventurer": 0.08, "big-smile": 0.08, "big-ears": 0.08}  # fmt: skip
UNSEEN_HUES = (0.28, 0.52)  # of a turn: green to teal
NATURAL = 0.6  # share of hair and skin colours that people have
FAR = 55.0  # of 255, by which a lookalike's other colour differs at least
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Individual:
    """What stays the same; `person` names the traits of nano's own styles, `traits` those of the
    others. `wide` is the width of the head by its own."""

    style: str
    hair: Colour
    skin: Colour
    wide: float
    person: Person | None = None
    traits: tuple[tuple[str, str | None], ...] = field(default=())


def colour(rng: random.Random, natural: Sequence[str], unseen: bool) -> Colour:
    """One near a natural colour, or of any hue; only of the unseen hues if `unseen`."""
    if not unseen and rng.random() < NATURAL:
        a, b = (_rgb(rng.choice(natural)) for _ in range(2))
        share = rng.random()
        mixed = [x + share * (y - x) + rng.gauss(0, 6) for x, y in zip(a, b, strict=True)]
        return _clipped(mixed)
    low, high = UNSEEN_HUES
    hue = rng.uniform(low, high) if unseen else (high + rng.random() * (1 - high + low)) % 1
    return _clipped(
        255 * x for x in colorsys.hsv_to_rgb(hue, rng.uniform(0.35, 1), rng.uniform(0.4, 1))
    )


def _rgb(code: str) -> Colour:
    return int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16)


def _clipped(values) -> Colour:
    red, green, blue = (round(min(255, max(0, value))) for value in values)
    return red, green, blue


def code(rgb: Colour) -> str:
    return "#{:02X}{:02X}{:02X}".format(*rgb)


def individual(rng: random.Random, style: str | None = None, unseen: bool = False) -> Individual:
    """Anybody whom nano's held-out list does not name; `unseen` takes colours that no training
    picture has."""
    style = style or rng.choices(list(STYLES), list(STYLES.values()))[0]
    hair = colour(rng, list(people.HAIR_COLOURS.values()), unseen)
    skin = colour(rng, list(people.SKINS.values()), unseen)
    wide = rng.uniform(0.86, 1.16)
    if style in DRAWN:
        return Individual(style, hair, skin, wide, None, _traits(rng, style))
    return Individual(style, hair, skin, wide, _person(rng, style))


def _person(rng: random.Random, style: str) -> Person:
    make = {
        "avatar": lambda: (
            people.random_child(rng) if rng.random() < 0.2 else people.random_person(rng, "avatar")
        ),
        "toon": lambda: people.random_person(rng, "toon"),
        "persona": lambda: people.random_persona(rng),
        "clay": lambda: people.random_clay(rng),
    }[style]
    shot = people.random_shot(rng, style)
    while True:
        person = make()
        if not people.is_held_out(person, replace(shot, clothes="t-shirt", clothes_colour="red")):
            return person


def _traits(rng: random.Random, style: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((name, _trait(rng, style, name)) for name in DRAWN[style][0])


def _trait(rng: random.Random, style: str, name: str) -> str | None:
    variants = list(people.dicebear_variants(style, name))
    if name not in ("hair", "nose", "head", "ears") and rng.random() < 0.5:
        return None
    return rng.choice(variants)


def lookalike(who: Individual, rng: random.Random, unseen: bool = False) -> Individual:
    """The same but for one trait."""
    while True:
        other = individual(rng, who.style, unseen)
        change = rng.choice(("hair", "skin", "trait", "trait", "trait"))
        if change == "trait" or who.style == "clay":
            found = _other_trait(who, other, rng)
        elif _distance(getattr(who, change), getattr(other, change)) >= FAR:
            found = replace(who, **{change: getattr(other, change)})
        else:
            continue
        if found != who and (found.person is None or not _held_out(found.person)):
            return found


def _held_out(person: Person) -> bool:
    return person.key in {Person(**row).key for row in people.HELD_OUT["people"]}


def _other_trait(who: Individual, other: Individual, rng: random.Random) -> Individual:
    if who.person is None or other.person is None:
        name = rng.choice(DRAWN[who.style][0])
        changed = {**dict(who.traits), name: dict(other.traits)[name]}
        return replace(who, traits=tuple(changed.items()))
    if who.style == "clay":
        return replace(who, person=replace(who.person, face=other.person.face))
    name = rng.choice(("hair", "glasses", "beard"))
    if name == "hair":
        other_hair = other.person.hair if other.person.kind == who.person.kind else who.person.hair
        return replace(who, person=replace(who.person, hair=other_hair))
    if name == "beard" and who.person.kind != other.person.kind:
        return who
    return replace(who, person=replace(who.person, **{name: getattr(other.person, name)}))


def _distance(a: Colour, b: Colour) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5


# Drawing.


def picture(who: Individual, rng: random.Random) -> tuple[Image.Image, tuple[float, ...]]:
    """One of their pictures, 128 x 128 or of another shape, and the box of the head in it."""
    width, height = rng.choice(((128, 128), (128, 128), (112, 144), (144, 112)))
    own = who.style if who.person else "avatar"
    shot = people.random_shot(rng, own)
    if who.person and rng.random() < 0.06:
        shot = people.with_hat(who.person, shot, rng)
    if who.person and not people.can_be_drawn(who.person, shot):
        shot = replace(shot, mood="smiling")
    shot = replace(shot, scale=rng.uniform(0.75, 1.2))
    if who.style == "clay":
        assert who.person
        row = Portrait(who.person, shot)
        return row.draw(width, height, rng), row.heads(width, height)[0]
    return _flat(who, shot, width, height, rng)


def _flat(
    who: Individual, shot: Shot, width: int, height: int, rng: random.Random
) -> tuple[Image.Image, tuple[float, ...]]:
    if who.person:
        paint = replace(
            Paint.of(who.person, shot),
            hair=code(who.hair),
            skin=code(who.skin),
            clothes=code(_clipped(rng.uniform(0, 255) for _ in range(3))),
        )
        svg = people.figure(who.person, shot, paint)
        x, y, right, bottom = Portrait(who.person, shot).place(width, height)
        shares = people.HEAD[who.style]
    else:
        svg = _drawn(who, rng)
        x, y, right, bottom = Portrait(people.random_person(rng, "toon"), shot).place(width, height)
        shares = (0.15, 0.05, 0.85, 0.9)
    middle, half = (x + right) / 2, (right - x) / 2 * who.wide
    x, right = middle - half, middle + half
    svg = svg.replace("<svg ", '<svg preserveAspectRatio="none" ', 1)
    behind = background(shot.background, width, height, rng)
    image = rasterised(behind + placed(svg, (x, y, right, bottom)), width, height)
    w, h = right - x, bottom - y
    return image, (
        x + shares[0] * w,
        y + shares[1] * h,
        x + shares[2] * w,
        y + shares[3] * h,
    )


def _drawn(who: Individual, rng: random.Random) -> str:
    """SVG in a style of DiceBear's: the moods are whichever there are."""
    _, moods, hair, skin = DRAWN[who.style]
    options: dict[str, object] = {"seed": "x", "size": 128}  # other colours are everybody's
    for name, value in who.traits:
        options[f"{name}Probability"] = 0 if value is None else 100
        if value is not None:
            options[f"{name}Variant"] = [value]
    for name in moods:
        options[f"{name}Variant"] = [rng.choice(people.dicebear_variants(who.style, name))]
    options |= {
        f"{hair}Color": [code(who.hair).strip("#")],
        f"{skin}Color": [code(who.skin).strip("#")],
    }
    return people.dicebear(who.style, options)


def stored(who: Individual, rng: random.Random) -> np.ndarray:
    """uint8 SIDE x SIDE x 3: the head with WIDER surroundings."""
    image, box = picture(who, rng)
    return np.asarray(around(image, box, AROUND * WIDER, SIDE))


def family(seed: int | str, style: str | None = None, unseen: bool = False) -> list[Individual]:
    """Two who look alike."""
    rng = random.Random(f"family {seed}")
    one = individual(rng, style, unseen)
    return [one, lookalike(one, rng, unseen)]


def render(folder: Path, families: int, seconds: float) -> Iterator[int]:
    """Renders what is missing of so many families, FAMILIES_A_FILE a file, for so many seconds;
    yields how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds
    for number in range(families // FAMILIES_A_FILE):
        path = folder / f"{number:03d}.npy"
        if not path.exists():
            if time.monotonic() > end:
                return
            rows = [
                _pictures_of(number * FAMILIES_A_FILE + i, None, False)
                for i in range(FAMILIES_A_FILE)
            ]
            temporary = path.with_suffix(f".{os.getpid()}.tmp")
            with temporary.open("wb") as file:
                np.save(file, np.stack(rows))
            temporary.rename(path)
        yield (number + 1) * FAMILIES_A_FILE


def _pictures_of(seed: int | str, style: str | None, unseen: bool) -> np.ndarray:
    """uint8 2 x PICTURES x SIDE x SIDE x 3."""
    rng = random.Random(f"pictures {seed}")
    return np.stack(
        [
            np.stack([stored(who, rng) for _ in range(PICTURES)])
            for who in family(seed, style, unseen)
        ]
    )


FAMILIES_A_FILE = 50


def load(folder: Path) -> np.ndarray:
    """uint8 families x 2 x PICTURES x SIDE x SIDE x 3."""
    return np.concatenate([np.load(path) for path in sorted(folder.glob("*.npy"))])
