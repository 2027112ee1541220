"""Pictures with exact captions: who is drawn (`Person`), how (`Shot`), the drawing and the words for it.

Two drawing styles: "avatar" (package python-avatars, MIT) and "toon" (DiceBear's ToonHead by Johan Melin, CC BY 4.0).
`HELD_OUT` lists the identities and clothes that no training picture may show.
"""

from __future__ import annotations

import functools
import io
import json
import random
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import resvg_py
from PIL import Image

from pretrain.backgrounds import PLAIN_BACKGROUNDS, SCENES, background

HAIR_COLOURS = {
    "black": "#2C1B18", "brown": "#724133", "blonde": "#E0BC68", "red": "#C93305",
    "grey": "#8C8C90", "white": "#F2EFEA", "pink": "#F57FB0", "blue": "#2F6BD0",
}  # fmt: skip
SKINS = {"pale": "#FFDBB4", "light": "#EDB98A", "tan": "#D08B5B", "brown": "#A0582A", "dark": "#5C3F30"}
CLOTHES_COLOURS = {
    "red": "#E03434", "blue": "#2A62C9", "green": "#1F9A4A", "yellow": "#F5D13B", "pink": "#FF74B1",
    "white": "#FFFFFF", "black": "#20262B", "purple": "#7B3BC0", "orange": "#F58A24", "grey": "#8E9499",
}  # fmt: skip
MAN_HAIR = {
    "cropped hair": "CAESAR", "short hair": "SHORT_FLAT", "short curly hair": "SHORT_CURLY", "a quiff": "QUIFF",
    "short wavy hair": "SHORT_WAVED", "a bald head": "SIDES", "a buzz cut": "BUZZCUT", "wild hair": "EINSTEIN_HAIR",
    "a mohawk": "MOHAWK", "messy hair": "MOWGLI", "a pompadour": "POMPADOUR", "spiky hair": "WILD",
    "dreadlocks": "DREADS", "an afro": "FRO", "a mullet": "SHAGGY_MULLET",
}  # fmt: skip
WOMAN_HAIR = {
    "a bob": "BOB", "a bun": "BUN", "curly hair": "CURLY", "dreadlocks": "DREADS", "an afro": "FRO",
    "a fringe": "MIA_WALLACE", "long straight hair": "STRAIGHT_STRAND", "braids": "BRAIDS",
    "long wavy hair": "LOOSE_HAIR", "a pixie cut": "PIXIE", "a half-shaved head": "HALF_SHAVED",
    "long braids": "TWIST_LONG_HAIR", "a mullet": "SHAGGY_MULLET",
}  # fmt: skip
# (front hair, rear hair) of ToonHead
TOON_HAIR = {
    "man": {"short hair": ("sideComed", ""), "spiky hair": ("spiky", ""), "an undercut": ("undercut", ""),
            "a mullet": ("spiky", "neckHigh")},
    "woman": {"a bun": ("bun", ""), "long straight hair": ("sideComed", "longStraight"),
              "long wavy hair": ("sideComed", "longWavy"), "a bob": ("sideComed", "shoulderHigh"),
              "a pixie cut": ("sideComed", "neckHigh")},
}  # fmt: skip
GLASSES = {"none": "NONE", "glasses": "WAYFARERS", "round glasses": "ROUND", "sunglasses": "SUNGLASSES",
           "an eyepatch": "EYEPATCH"}  # fmt: skip
BEARDS = {"none": "NONE", "a beard": "BEARD_MEDIUM", "a long beard": "BEARD_MAGESTIC", "a moustache": "MOUSTACHE_FANCY"}
CLOTHES = {"t-shirt": "SHIRT_CREW_NECK", "hoodie": "HOODIE", "overalls": "OVERALL", "sweater": "COLLAR_SWEATER",
           "blazer": "BLAZER_SHIRT"}  # fmt: skip
TOON_CLOTHES = {"t-shirt": "tShirt", "turtleneck": "turtleNeck", "shirt": "shirt", "dress": "dress"}
MOODS = {  # mood: (eyes, eyebrows, mouth) of python-avatars
    "smiling": ("DEFAULT", "DEFAULT_NATURAL", "SMILE"), "sad": ("DEFAULT", "SAD_CONCERNED_NATURAL", "SAD"),
    "angry": ("SQUINT", "ANGRY_NATURAL", "GRIMACE"), "surprised": ("SURPRISED", "RAISED_EXCITED", "DISBELIEF"),
    "serious": ("DEFAULT", "FLAT_NATURAL", "SERIOUS"), "winking": ("WINK", "UP_DOWN_NATURAL", "TWINKLE"),
}  # fmt: skip
TOON_MOODS = {  # mood: (eyes, eyebrows, mouth) of ToonHead
    "smiling": ("happy", "happy", "laugh"), "sad": ("humble", "sad", "sad"), "angry": ("wide", "angry", "angry"),
    "surprised": ("wide", "raised", "agape"), "serious": ("humble", "neutral", "smile"),
    "winking": ("wink", "happy", "smile"),
}  # fmt: skip
HEAD = {"avatar": (0.24, 0.04, 0.76, 0.66), "toon": (0.2, 0.02, 0.8, 0.8)}  # left, top, right, bottom as shares of the figure
POSITIONS = {"left": -0.2, "centre": 0.0, "right": 0.2}
# width x height in pixels, and its share of the training pictures
SHAPES = {(128, 128): 0.5, (112, 144): 0.17, (144, 112): 0.17, (96, 176): 0.08, (176, 96): 0.08}

HELD_OUT: dict[str, Any] = json.loads(Path(__file__).with_name("held_out.json").read_text())


@dataclass(frozen=True)
class Person:
    """What stays the same in every picture of a subject; values are the words of the captions."""

    style: str
    kind: str  # the class word: man, woman
    hair: str
    hair_colour: str
    skin: str
    glasses: str
    beard: str

    @property
    def key(self) -> str:
        """What makes two people look alike even if glasses or beard differ."""
        return "/".join((self.style, self.kind, self.hair, self.hair_colour, self.skin))


@dataclass(frozen=True)
class Shot:
    """What changes from picture to picture."""

    clothes: str
    clothes_colour: str
    mood: str
    background: str
    position: str
    scale: float  # 1: head and shoulders fill the short side


def random_person(rng: random.Random, style: str | None = None) -> Person:
    style = style or rng.choices(("avatar", "toon"), (0.78, 0.22))[0]
    kind = rng.choice(("man", "woman"))
    if style == "toon":
        hair, glasses = rng.choice(list(TOON_HAIR[kind])), "none"
        beard = rng.choice(("none", "none", "a beard", "a moustache")) if kind == "man" else "none"
    else:
        hair = rng.choice(list(MAN_HAIR if kind == "man" else WOMAN_HAIR))
        glasses = rng.choices(list(GLASSES), (0.48, 0.16, 0.14, 0.14, 0.08))[0]
        beard = rng.choices(list(BEARDS), (0.46, 0.2, 0.17, 0.17))[0] if kind == "man" else "none"
    return Person(style, kind, hair, rng.choice(list(HAIR_COLOURS)), rng.choice(list(SKINS)), glasses, beard)


def random_shot(rng: random.Random, style: str) -> Shot:
    clothes = rng.choice(list(CLOTHES if style == "avatar" else TOON_CLOTHES))
    background = rng.choice(list(PLAIN_BACKGROUNDS) if rng.random() < 0.5 else list(SCENES))
    position = rng.choices(list(POSITIONS), (0.22, 0.56, 0.22))[0]
    return Shot(clothes, rng.choice(list(CLOTHES_COLOURS)), rng.choice(list(MOODS)), background, position,
                rng.uniform(0.8, 1.15))  # fmt: skip


def is_held_out(person: Person, shot: Shot) -> bool:
    return person.key in _held_out_keys() or f"{shot.clothes_colour} {shot.clothes}" in HELD_OUT["clothes"]


@functools.cache
def _held_out_keys() -> frozenset[str]:
    return frozenset(Person(**row).key for row in HELD_OUT["people"])


def training_pair(rng: random.Random) -> tuple[Person, Shot]:
    """A person and a shot that are not held out."""
    while True:
        person = random_person(rng)
        shot = random_shot(rng, person.style)
        if not is_held_out(person, shot):
            return person, shot


# ── drawing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def render(person: Person, shot: Shot, width: int, height: int, rng: random.Random) -> Image.Image:
    """The picture, RGB, `width` x `height` pixels; `rng` moves what the caption does not name (stars, trees)."""
    figure = _avatar(person, shot) if person.style == "avatar" else _toon(person, shot)
    x, y, figure_width, figure_height = _placement(person, shot, width, height)
    placed = figure.replace("<svg", f'<svg x="{x:.1f}" y="{y:.1f}"', 1)
    placed = _with_size(placed, figure_width, figure_height)
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}">{background(shot.background, width, height, rng)}'
        f"{placed}</svg>"
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=width, height=height, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGB")


def _placement(person: Person, shot: Shot, width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of the figure in pixels."""
    figure_width = min(1.15 * width, height) * shot.scale
    figure_height = figure_width * (280 / 264 if person.style == "avatar" else 1.0)
    x = (width - figure_width) / 2 + POSITIONS[shot.position] * width
    return x, height - figure_height * (0.985 if shot.scale <= 1.05 else 0.94), figure_width, figure_height


def head(person: Person, shot: Shot, width: int, height: int) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, in pixels, of the box that holds hair, eyes, glasses, mouth and beard."""
    x, y, figure_width, figure_height = _placement(person, shot, width, height)
    left, top, right, bottom = HEAD[person.style]
    return x + left * figure_width, y + top * figure_height, x + right * figure_width, y + bottom * figure_height


def _with_size(svg: str, width: float, height: float) -> str:
    head, rest = svg.split(">", 1)
    words = [w for w in head.split(" ") if not w.startswith(("width=", "height="))]
    return " ".join(words) + f' width="{width:.1f}" height="{height:.1f}">' + rest


def _avatar(person: Person, shot: Shot) -> str:
    import python_avatars as pa

    eyes, brows, mouth = MOODS[shot.mood]
    hairs = MAN_HAIR if person.kind == "man" else WOMAN_HAIR
    svg = pa.Avatar(
        style=pa.AvatarStyle.TRANSPARENT,
        top=pa.HairType[hairs[person.hair]],
        hair_color=HAIR_COLOURS[person.hair_colour],
        facial_hair=pa.FacialHairType[BEARDS[person.beard]],
        facial_hair_color=HAIR_COLOURS[person.hair_colour],
        skin_color=SKINS[person.skin],
        accessory=pa.AccessoryType[GLASSES[person.glasses]],
        eyes=pa.EyeType[eyes],
        eyebrows=pa.EyebrowType[brows],
        mouth=pa.MouthType[mouth],
        clothing=pa.ClothingType[CLOTHES[shot.clothes]],
        clothing_color=CLOTHES_COLOURS[shot.clothes_colour],
    ).render()
    return svg


@functools.cache
def _toon_style() -> Any:
    from dicebear import Style

    return Style(json.loads(files("dicebear_styles").joinpath("toon-head.json").read_text()))


def _toon(person: Person, shot: Shot) -> str:
    from dicebear import Avatar

    eyes, brows, mouth = TOON_MOODS[shot.mood]
    hair, rear = TOON_HAIR[person.kind][person.hair]
    beard = {"none": "chin", "a beard": "fullBeard", "a moustache": "moustacheTwirl"}[person.beard]
    options = {
        "seed": "x", "size": 128, "hairVariant": [hair], "rearHairVariant": [rear or "neckHigh"],
        "rearHairProbability": 100 if rear else 0, "beardVariant": [beard],
        "beardProbability": 0 if person.beard == "none" else 100, "eyesVariant": [eyes], "eyebrowsVariant": [brows],
        "mouthVariant": [mouth], "clothesVariant": [TOON_CLOTHES[shot.clothes]],
        "clothesColor": [CLOTHES_COLOURS[shot.clothes_colour].strip("#")],
        "hairColor": [HAIR_COLOURS[person.hair_colour].strip("#")], "skinColor": [SKINS[person.skin].strip("#")],
    }  # fmt: skip
    return Avatar(_toon_style(), options).to_string()


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def clothes_words(shot: Shot) -> str:
    article = "" if shot.clothes == "overalls" else ("an " if shot.clothes_colour == "orange" else "a ")
    return f"{article}{shot.clothes_colour} {shot.clothes}"


def background_words(shot: Shot, rng: random.Random) -> str:
    if shot.background in SCENES:
        return SCENES[shot.background]
    colour = shot.background
    return rng.choice((f"{colour} background", f"on a {colour} background", f"in front of a {colour} wall"))


def caption(person: Person, shot: Shot, rng: random.Random) -> str:
    """One of many phrasings, from three words to about forty; every statement in it is true of the picture."""
    keep_identity = rng.choice((0.0, 0.5, 0.8, 1.0))
    keep_shot = rng.choice((0.4, 0.8, 1.0, 1.0))

    def kept(words: str, share: float) -> list[str]:
        return [words] if rng.random() < share else []

    hair = person.hair
    if person.hair != "a bald head":
        article = "an " if hair.startswith("an ") else "a " if hair.startswith("a ") else ""
        hair = f"{'a ' if article else ''}{person.hair_colour} {hair.removeprefix(article)}"
        if rng.random() < 0.15:
            hair = f"{person.hair_colour} hair"
    features = kept(hair, keep_identity)
    if person.glasses != "none":
        features += kept(person.glasses, keep_identity)
    if person.beard != "none":
        features += kept(person.beard, keep_identity)
    skin = kept(f"{person.skin} skin", keep_identity * 0.8)
    features = features + skin if rng.random() < 0.7 else skin + features
    drawing = {"avatar": ("flat cartoon", "cartoon"), "toon": ("toon drawing", "toon")}[person.style]
    scene = (
        kept(rng.choice(("wearing {}", "in {}", "{}")).format(clothes_words(shot)), keep_shot)
        + kept(shot.mood, keep_shot)
        + kept(background_words(shot, rng), keep_shot)
    )
    if shot.position != "centre":
        scene += kept(f"on the {shot.position}", keep_shot * 0.7)
    if shot.scale > 1.08:
        scene += kept("close-up", keep_shot * 0.4)
    if rng.random() < 0.3:
        rng.shuffle(scene)
    person_words = person.kind
    if features:
        person_words += " with " + (" and ".join(features) if rng.random() < 0.4 else ", ".join(features))
    opening = rng.choice((
        f"a {drawing[0]} of a {person_words}", f"{drawing[1]} portrait of a {person_words}", f"a {person_words}",
        f"{person_words}", f"portrait of a {person_words}", f"{person_words}",
    ))  # fmt: skip
    return ", ".join([opening, *scene])


def attributes(person: Person, shot: Shot) -> dict[str, str]:
    """Everything that a reader of the picture can be asked, in the captions' words."""
    row = {**asdict(person), **asdict(shot)}
    del row["scale"]
    return row
