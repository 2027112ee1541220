"""Pictures with exact captions: a portrait, two people side by side, or a thing.

A row (`Portrait`, `Pair`, `Still`) knows how it is drawn, the words for it, and what a reader of
the picture can be asked.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import resvg_py
from PIL import Image

from pretrain import attributes, faces, people, things, words
from pretrain.attributes import Answers
from pretrain.backgrounds import background
from pretrain.people import HELD_OUT, POSITIONS, Person, Shot

# width x height in pixels, and its share of the training pictures
SHAPES = {(128, 128): 0.5, (112, 144): 0.17, (144, 112): 0.17, (96, 176): 0.08, (176, 96): 0.08}
# shares of the training pictures
MIX = {"portrait": 0.5, "persona": 0.1, "child": 0.1, "pair": 0.06, "still": 0.14, "clay": 0.1}
HAT, RARE_TOKEN = 0.2, 0.15
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Portrait:
    """One person, head and shoulders."""

    person: Person
    shot: Shot

    @property
    def class_word(self) -> str:
        return self.person.kind

    def draw(self, width: int, height: int, rng: random.Random, scale: int = 1) -> Image.Image:
        """RGB, `width` x `height` pixels; `rng` moves what the caption does not name (stars,
        trees). The very same `scale` times as large, if it is no face of clay."""
        place = self.place(width, height)
        behind = background(self.shot.background, width, height, rng)
        if self.person.style != "clay":
            figure = placed(people.figure(self.person, self.shot), place)
            return rasterised(behind + figure, width, height, scale=scale)
        picture = rasterised(behind, width, height)
        faces.draw(self.person, self.shot, picture, place)
        return picture

    def caption(self, rng: random.Random, prose: bool = False) -> str:
        """In phrases, or as `prose` in up to sixty words."""
        return (words.prose if prose else words.portrait)(self.person, self.shot, rng)

    def answers(self) -> Answers:
        """All that can be seen: a bald and beardless head keeps its hair colour to itself, a
        hat what it covers."""
        row = {
            **asdict(self.person),
            **asdict(self.shot),
            "background": attributes.wall(self.shot.background),
            "number": "one",
        }
        hidden = {"scale", "face"}
        if self.shot.hat != "none":
            hidden |= {"hair"}
        if self.person.beard == "none" and (
            self.shot.hat != "none" or self.person.hair == "a bald head"
        ):
            hidden |= {"hair_colour"}
        if self.shot.hat == "none":
            hidden |= {"hat_colour"}
        if self.person.style != "clay":
            hidden |= {"eyes", "pose"}
        if self.shot.mood == "sleeping":
            hidden |= {"eyes"}
        return {name: value for name, value in row.items() if name not in hidden}

    def said(self, text: str) -> Answers:
        """Those answers that a caption gives in words."""
        person, shot = self.person, self.shot
        hair, hat = words.bare(person.hair), words.bare(shot.hat)
        clothes = f"{shot.clothes_colour} {shot.clothes}"
        phrases = {
            "style": [words.DRAWING[person.style][1]],
            "kind": [person.kind],
            "hair": [hair],
            "hair_colour": [f"{person.hair_colour} {hair}", f"{person.hair_colour} hair"],
            "skin": [f"{person.skin} skin"],
            "glasses": [person.glasses],
            "beard": [person.beard],
            "clothes": [clothes],
            "clothes_colour": [clothes],
            "mood": [shot.mood],
            "background": attributes.place_words(shot.background),
            "position": [f"on the {shot.position}"],
            "eyes": [f"{person.eyes} eyes"],
            "pose": [shot.pose],
            "hat": [hat],
            "hat_colour": [f"{shot.hat_colour} {hat}"],
        }
        return attributes.found(text, phrases, self.answers())

    def heads(self, width: int, height: int) -> list[Box]:
        """The boxes that hold hair, eyes, glasses, mouth and beard."""
        return [_head(self.person, self.place(width, height))]

    def place(self, width: int, height: int) -> Box:
        """The whole figure's box."""
        w = min(1.15 * width, height) * self.shot.scale
        h = w * _tallness(self.person)
        x = (width - w) / 2 + POSITIONS[self.shot.position] * width
        y = height - h * (0.985 if self.shot.scale <= 1.05 else 0.94)
        return x, y, x + w, y + h


@dataclass(frozen=True)
class Pair:
    """Two people side by side in the left one's place; where each stands comes of the frame,
    not of their shots."""

    left: Portrait
    right: Portrait

    @property
    def class_word(self) -> str:
        return self.left.person.kind

    def draw(self, width: int, height: int, rng: random.Random, scale: int = 1) -> Image.Image:
        """As `Portrait.draw`."""
        figures = [
            placed(people.figure(one.person, one.shot), place, f"{side}-")
            for side, one, place in zip(
                "ab", (self.left, self.right), self.places(width, height), strict=True
            )
        ]
        return rasterised(
            background(self.left.shot.background, width, height, rng) + "".join(figures),
            width,
            height,
            scale=scale,
        )

    def caption(self, rng: random.Random, prose: bool = False) -> str:
        """In phrases, always."""
        return words.pair(
            (self.left.person, self.left.shot), (self.right.person, self.right.shot), rng
        )

    def answers(self) -> Answers:
        return {
            "style": self.left.person.style,
            "background": attributes.wall(self.left.shot.background),
            "number": "two",
        }

    def said(self, text: str) -> Answers:
        phrases = {
            "style": [words.DRAWING[self.left.person.style][0]],
            "background": attributes.place_words(self.left.shot.background),
            "number": ["and a", "next to a", "two people"],
        }
        return attributes.found(text, phrases, self.answers())

    def heads(self, width: int, height: int) -> list[Box]:
        places = self.places(width, height)
        return [
            _head(one.person, place)
            for one, place in zip((self.left, self.right), places, strict=True)
        ]

    def places(self, width: int, height: int) -> tuple[Box, Box]:
        """The whole figures' boxes."""
        w = min(0.74 * width, height)
        return self._place(0.27 * width, w, height, self.left), self._place(
            0.73 * width, w, height, self.right
        )

    def _place(self, centre: float, w: float, height: int, one: Portrait) -> Box:
        h = w * _tallness(one.person)
        return centre - w / 2, height - 0.97 * h, centre + w / 2, height + 0.03 * h


@dataclass(frozen=True)
class Still:
    """An animal or an object."""

    style: str
    thing: str
    background: str
    position: str
    scale: float  # 1: as wide as 0.8 of the short side

    @property
    def class_word(self) -> str:
        return self.thing

    def draw(self, width: int, height: int, rng: random.Random) -> Image.Image:
        picture = rasterised(background(self.background, width, height, rng), width, height)
        cutout, at = self._cutout(width, height)
        picture.paste(cutout, at, cutout)
        return picture

    def covered(self, width: int, height: int) -> Image.Image:
        """L: how much of each pixel the thing covers."""
        picture = Image.new("L", (width, height))
        cutout, at = self._cutout(width, height)
        picture.paste(cutout.getchannel("A"), at)
        return picture

    def _cutout(self, width: int, height: int) -> tuple[Image.Image, tuple[int, int]]:
        """RGBA, and where its upper left corner stands."""
        x, y, right, _ = self.place(width, height)
        side = round(right - x)
        cutout = things.cutout(self.style, self.thing)
        return cutout.resize((side, side), Image.Resampling.LANCZOS), (round(x), round(y))

    def caption(self, rng: random.Random, prose: bool = False) -> str:
        """In phrases, always."""
        return words.still(self.style, self.thing, self.position, self.background, rng)

    def answers(self) -> Answers:
        return {
            "style": self.style,
            "kind": self.thing,
            "background": attributes.wall(self.background),
            "position": self.position,
        }

    def said(self, text: str) -> Answers:
        phrases = {
            "style": [words.DRAWING[self.style][0]],
            "kind": [self.thing],
            "background": attributes.place_words(self.background),
            "position": [f"on the {self.position}"],
        }
        return attributes.found(text, phrases, self.answers())

    def heads(self, width: int, height: int) -> list[Box]:
        return [self.place(width, height)]

    def place(self, width: int, height: int) -> Box:
        side = 0.8 * min(width, height) * self.scale
        x = (width - side) / 2 + POSITIONS[self.position] * width
        y = (height - side) * 0.6
        return x, y, x + side, y + side


Row = Portrait | Pair | Still


def grown_up(row: Row) -> bool:
    """A man or a woman of the first two styles, without a hat: what the shipped reader knows."""
    flat = (
        isinstance(row, Portrait)
        and row.shot.hat == "none"
        and row.person.style in ("avatar", "toon")
    )
    return flat and row.class_word in ("man", "woman")


def to_json(row: Row) -> list[Any]:
    return [type(row).__name__, asdict(row)]


def from_json(name: str, fields: Mapping[str, Any]) -> Row:
    match name:
        case "Portrait":
            return Portrait(Person(**fields["person"]), Shot(**fields["shot"]))
        case "Pair":
            left, right = (from_json("Portrait", fields[side]) for side in ("left", "right"))
            assert isinstance(left, Portrait) and isinstance(right, Portrait)
            return Pair(left, right)
        case _:
            return Still(**fields)


def training_row(rng: random.Random) -> Row:
    """Anything of `MIX` that is not held out."""
    kind = rng.choices(list(MIX), list(MIX.values()))[0]
    if kind == "still":
        return still(rng)
    if kind == "pair":
        left = _portrait(rng, rng.choices(("portrait", "child", "persona"), (0.5, 0.25, 0.25))[0])
        while True:  # of one style
            right = _portrait(
                rng,
                rng.choice(("portrait", "child")) if left.person.style != "persona" else "persona",
            )
            if right.person.style == left.person.style:
                return Pair(left, right)
    return _portrait(rng, kind)


def _portrait(rng: random.Random, kind: str) -> Portrait:
    make = {
        "portrait": people.random_person,
        "persona": people.random_persona,
        "child": people.random_child,
        "clay": people.random_clay,
    }[kind]
    while True:
        person = make(rng)
        shot = people.random_shot(rng, person.style)
        if rng.random() < HAT:
            shot = people.with_hat(person, shot, rng)
        if people.can_be_drawn(person, shot) and not people.is_held_out(person, shot):
            return Portrait(person, shot)


def hatted(rng: random.Random) -> Portrait:
    """Somebody with a hat on, not held out."""
    while True:
        row = _portrait(rng, rng.choice(("portrait", "child", "persona")))
        row = replace(row, shot=people.with_hat(row.person, row.shot, rng))
        if row.shot.hat != "none":
            return row


def still(rng: random.Random) -> Still:
    """An animal or object that is not held out."""
    while True:
        shot = people.random_shot(rng, "avatar")
        row = Still(
            rng.choice(things.STYLES),
            rng.choice(list(things.THINGS)),
            shot.background,
            shot.position,
            rng.uniform(0.7, 1.1),
        )
        if f"{row.style} {row.thing}" not in HELD_OUT["things"]:
            return row


def with_rare_token(text: str, row: Row, rng: random.Random, tokens: Sequence[str]) -> str:
    """The caption, now and then with a rare token before its class word: a base that has seen
    them takes them for nothing."""
    if rng.random() < RARE_TOKEN:
        return text.replace(row.class_word, f"{rng.choice(tokens)} {row.class_word}", 1)
    return text


# drawing


def rasterised(
    inside: str, width: int, height: int, mode: str = "RGB", scale: int = 1
) -> Image.Image:
    """The SVG elements of a frame of that width and height as a picture, `scale` times as large;
    `mode` "RGBA" keeps what none of them covers clear."""
    across, down = scale * width, scale * height
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{across}" '
        f'height="{down}" viewBox="0 0 {width} {height}">{inside}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=across, height=down, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert(mode)


def placed(svg: str, place: Box, mark: str = "") -> str:
    """The drawing in its box; `mark` keeps its ids apart from those of another drawing of the
    same picture."""
    x, y, right, bottom = place
    head, rest = svg.split(">", 1)
    kept = [
        word for word in head.split(" ") if not word.startswith(("width=", "height=", "x=", "y="))
    ]
    svg = f'{" ".join(kept)} x="{x:.1f}" y="{y:.1f}" width="{right - x:.1f}" height="{bottom - y:.1f}">{rest}'
    return re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{mark}", svg) if mark else svg


def _tallness(person: Person) -> float:
    return 280 / 264 if person.style == "avatar" else 1.0


def _head(person: Person, place: Box) -> Box:
    x, y, right, bottom = place
    w, h = right - x, bottom - y
    shares = people.HEAD[person.style]
    return x + shares[0] * w, y + shares[1] * h, x + shares[2] * w, y + shares[3] * h
