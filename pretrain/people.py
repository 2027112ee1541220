"""Who is drawn (`Person`), how (`Shot`), and the drawing of a figure as SVG.

Four drawing styles: "avatar" (package python-avatars, MIT), "toon" (DiceBear's ToonHead by Johan
Melin, CC BY 4.0), "persona" (DiceBear's Personas by Draftbit, CC BY 4.0), and "clay", which
`pretrain.faces` makes of a mesh. `HELD_OUT` lists the identities and clothes that no training
picture may show; of the faces, the last thousand.
"""

from __future__ import annotations

import functools
import json
import random
import re
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from pretrain.backgrounds import PLAIN_BACKGROUNDS, SCENES

HAIR_COLOURS = {
    "black": "#2C1B18", "brown": "#724133", "blonde": "#E0BC68", "red": "#C93305",
    "grey": "#8C8C90", "white": "#F2EFEA", "pink": "#F57FB0", "blue": "#2F6BD0",
}  # fmt: skip
SKINS = {
    "pale": "#FFDBB4",
    "light": "#EDB98A",
    "tan": "#D08B5B",
    "brown": "#A0582A",
    "dark": "#5C3F30",
}
CLOTHES_COLOURS = {
    "red": "#E03434", "blue": "#2A62C9", "green": "#1F9A4A", "yellow": "#F5D13B", "pink": "#FF74B1",
    "white": "#FFFFFF", "black": "#20262B", "purple": "#7B3BC0", "orange": "#F58A24", "grey": "#8E9499",
}  # fmt: skip
MAN_HAIR = {
    "cropped hair": "CAESAR", "short hair": "SHORT_FLAT", "short curly hair": "SHORT_CURLY",
    "a quiff": "QUIFF", "short wavy hair": "SHORT_WAVED", "a bald head": "SIDES",
    "a buzz cut": "BUZZCUT", "wild hair": "EINSTEIN_HAIR", "a mohawk": "MOHAWK",
    "messy hair": "MOWGLI", "a pompadour": "POMPADOUR", "spiky hair": "WILD",
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
PERSONA_HAIR = {
    "man": {"a bald head": "bald", "a balding head": "balding", "a buzz cut": "buzzcut", "an undercut": "fade", "a mohawk": "mohawk",
            "short hair": "shortCombover", "short curly hair": "curlyHighTop", "an afro": "curly"},
    "woman": {"a fringe": "bobBangs", "a bob": "bobCut", "a bun": "straightBun", "long straight hair": "extraLong",
              "long wavy hair": "long", "pigtails": "pigtails", "a half-shaved head": "sideShave", "an afro": "curly"},
}  # fmt: skip
GLASSES = {
    "none": "NONE", "glasses": "WAYFARERS", "round glasses": "ROUND", "sunglasses": "SUNGLASSES",
    "an eyepatch": "EYEPATCH",
}  # fmt: skip
BEARDS = {
    "none": "NONE",
    "a beard": "BEARD_MEDIUM",
    "a long beard": "BEARD_MAGESTIC",
    "a moustache": "MOUSTACHE_FANCY",
}
CLOTHES = {
    "t-shirt": "SHIRT_CREW_NECK", "hoodie": "HOODIE", "overalls": "OVERALL",
    "sweater": "COLLAR_SWEATER", "blazer": "BLAZER_SHIRT",
}  # fmt: skip
HATS = {
    "a wide hat": "HAT",
    "a headscarf": "HIJAB",
    "a turban": "TURBAN",
    "a woolly hat": "WINTER_HAT_3",
    "a chef's hat": "CHEF_CAP",
}
PERSONA_HATS = {"a woolly hat": "beanie", "a cap": "cap"}
PERSONA_GLASSES = {"glasses": "glasses", "sunglasses": "sunglasses"}
PERSONA_BEARDS = {"a beard": "beardMustache", "a goatee": "goatee", "a moustache": "walrus"}
PERSONA_CLOTHES = {"t-shirt": "squared", "sweater": "rounded", "checked shirt": "checkered"}
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
PERSONA_MOODS = {  # mood: (eyes, mouth) of Personas
    "smiling": ("happy", "bigSmile"), "sad": ("open", "frown"), "surprised": ("open", "surprise"), "serious": ("open", "smirk"),
    "winking": ("wink", "smile"), "sleeping": ("sleep", "smile"),
}  # fmt: skip
EYES = {"brown": "#4F2E16", "blue": "#3E76C9", "green": "#3D8A45"}
POSES = {"facing us": 0.0, "looking left": -0.65, "looking right": 0.65}  # radians
# thickness in heights of the head
CLAY_HAIR = {"a bald head": 0.0, "a buzz cut": 0.03, "short hair": 0.13, "a bob": 0.15}
CLAY_CLOTHES = ("t-shirt", "turtleneck")
CLAY_MOODS = {  # mood: how much each action of the face, with its left and right
    "smiling": {"mouthSmile": 1.0, "cheekSquint": 0.6},
    "sad": {"mouthFrown": 1.0, "browInnerUp": 1.0, "eyeLookDown": 0.6},
    "angry": {"browDown": 1.0, "noseSneer": 0.9, "mouthFrown": 0.6},
    "surprised": {"jawOpen": 0.6, "browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 1.0},
    "serious": {}, "winking": {"eyeBlinkLeft": 1.0, "mouthSmile": 0.6}, "sleeping": {"eyeBlink": 1.0},
}  # fmt: skip
# numbers of faces there are; the last ones are never trained on
FACES, HELD_OUT_FACES = 100_000, 1_000
POSITIONS = {"left": -0.2, "centre": 0.0, "right": 0.2}
# left, top, right, bottom of the head as shares of the figure
HEAD = {
    "avatar": (0.24, 0.04, 0.76, 0.66), "toon": (0.2, 0.02, 0.8, 0.8),
    "persona": (0.15, 0.08, 0.85, 0.85), "clay": (0.2, 0.05, 0.8, 0.68),
}  # fmt: skip
HELD_OUT: dict[str, Any] = json.loads(Path(__file__).with_name("held_out.json").read_text())


@dataclass(frozen=True)
class Person:
    """What stays the same in every picture of a subject; values are the words of the captions."""

    style: str
    kind: str  # the class word: man, woman, boy, girl
    hair: str
    hair_colour: str
    skin: str
    glasses: str
    beard: str
    eyes: str = "none"  # their colour, in the style "clay"
    face: int = 0  # and the number of its shape

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
    hat: str = "none"
    hat_colour: str = "none"
    pose: str = "none"  # in the style "clay"


def random_person(rng: random.Random, style: str | None = None) -> Person:
    """A man or a woman of the styles "avatar" and "toon"."""
    style = style or rng.choices(("avatar", "toon"), (0.78, 0.22))[0]
    kind = rng.choice(("man", "woman"))
    if style == "toon":
        hair, glasses = rng.choice(list(TOON_HAIR[kind])), "none"
        beard = rng.choice(("none", "none", "a beard", "a moustache")) if kind == "man" else "none"
    else:
        hair = rng.choice(list(MAN_HAIR if kind == "man" else WOMAN_HAIR))
        glasses = rng.choices(list(GLASSES), (0.48, 0.16, 0.14, 0.14, 0.08))[0]
        beard = rng.choices(list(BEARDS), (0.46, 0.2, 0.17, 0.17))[0] if kind == "man" else "none"
    return Person(
        style, kind, hair, rng.choice(list(HAIR_COLOURS)), rng.choice(list(SKINS)), glasses, beard
    )


def random_persona(rng: random.Random) -> Person:
    kind = rng.choice(("man", "woman"))
    glasses = rng.choices(("none", *PERSONA_GLASSES), (0.6, 0.2, 0.2))[0]
    beard = rng.choice(("none", "none", "none", *PERSONA_BEARDS)) if kind == "man" else "none"
    hair = rng.choice(list(PERSONA_HAIR[kind]))
    return Person(
        "persona",
        kind,
        hair,
        rng.choice(list(HAIR_COLOURS)),
        rng.choice(list(SKINS)),
        glasses,
        beard,
    )


def random_child(rng: random.Random) -> Person:
    """A boy or a girl, of the style "avatar"."""
    adult = random_person(rng, "avatar")
    hair = adult.hair if adult.hair != "a bald head" else "messy hair"
    kind = "boy" if adult.kind == "man" else "girl"
    return Person("avatar", kind, hair, adult.hair_colour, adult.skin, adult.glasses, "none")


def random_clay(rng: random.Random) -> Person:
    """A head of the style "clay", with a face of its own."""
    face = rng.randrange(FACES - HELD_OUT_FACES)
    kind, hair = rng.choice(("man", "woman", "boy", "girl")), rng.choice(list(CLAY_HAIR))
    colour = rng.choice(list(HAIR_COLOURS))
    skin = rng.choice(list(SKINS))
    eyes = rng.choice(list(EYES))
    return Person("clay", kind, hair, colour, skin, "none", "none", eyes, face)


def random_shot(rng: random.Random, style: str) -> Shot:
    """Clothes, mood and place, without a hat."""
    clothes = rng.choice(
        list(
            {
                "avatar": CLOTHES,
                "toon": TOON_CLOTHES,
                "persona": PERSONA_CLOTHES,
                "clay": CLAY_CLOTHES,
            }[style]
        )
    )
    background = rng.choice(list(PLAIN_BACKGROUNDS) if rng.random() < 0.5 else list(SCENES))
    position = rng.choices(list(POSITIONS), (0.22, 0.56, 0.22))[0]
    moods = {"persona": PERSONA_MOODS, "clay": CLAY_MOODS}.get(style, MOODS)
    shot = Shot(
        clothes,
        rng.choice(list(CLOTHES_COLOURS)),
        rng.choice(list(moods)),
        background,
        position,
        rng.uniform(0.8, 1.15),
    )
    return replace(shot, pose=rng.choice(list(POSES))) if style == "clay" else shot


def with_hat(person: Person, shot: Shot, rng: random.Random) -> Shot:
    """The shot with a hat on, where the style has any; a cook's is white."""
    hats = {"avatar": HATS, "persona": PERSONA_HATS}.get(person.style, {})
    if not hats:
        return shot
    hat = rng.choice(list(hats))
    return replace(
        shot,
        hat=hat,
        hat_colour="white" if hat == "a chef's hat" else rng.choice(list(CLOTHES_COLOURS)),
    )


def can_be_drawn(person: Person, shot: Shot) -> bool:
    """Personas have either eyes or glasses: behind glasses nobody is seen to wink or to sleep."""
    return not (
        person.style == "persona"
        and person.glasses != "none"
        and shot.mood in ("winking", "sleeping")
    )


def is_held_out(person: Person, shot: Shot) -> bool:
    return (
        person.key in _held_out_keys()
        or f"{shot.clothes_colour} {shot.clothes}" in HELD_OUT["clothes"]
    )


@functools.cache
def _held_out_keys() -> frozenset[str]:
    return frozenset(Person(**row).key for row in HELD_OUT["people"])


@dataclass(frozen=True)
class Paint:
    """The colours of a figure, as `#RRGGBB`; a beard has that of the hair."""

    hair: str
    skin: str
    clothes: str
    hat: str

    @classmethod
    def of(cls, person: Person, shot: Shot) -> Paint:
        """The colours that the captions name."""
        return cls(
            HAIR_COLOURS[person.hair_colour],
            SKINS[person.skin],
            CLOTHES_COLOURS[shot.clothes_colour],
            CLOTHES_COLOURS.get(shot.hat_colour, ""),
        )


def figure(person: Person, shot: Shot, paint: Paint | None = None) -> str:
    """SVG of head and shoulders on nothing, in one of the flat styles; without a `paint`, in the
    colours that the captions name."""
    style = {"avatar": _avatar, "toon": _toon, "persona": _persona}[person.style]
    return style(person, shot, paint or Paint.of(person, shot))


def _avatar(person: Person, shot: Shot, paint: Paint) -> str:
    import python_avatars as pa

    eyes, brows, mouth = MOODS[shot.mood]
    hairs = MAN_HAIR if person.kind in ("man", "boy") else WOMAN_HAIR
    hat = {} if shot.hat == "none" else {"hat_color": paint.hat}
    svg = pa.Avatar(
        style=pa.AvatarStyle.TRANSPARENT,
        top=pa.HatType[HATS[shot.hat]] if hat else pa.HairType[hairs[person.hair]],
        hair_color=paint.hair,
        facial_hair=pa.FacialHairType[BEARDS[person.beard]],
        facial_hair_color=paint.hair,
        skin_color=paint.skin,
        accessory=pa.AccessoryType[GLASSES[person.glasses]],
        eyes=pa.EyeType[eyes],
        eyebrows=pa.EyebrowType[brows],
        mouth=pa.MouthType[mouth],
        clothing=pa.ClothingType[CLOTHES[shot.clothes]],
        clothing_color=paint.clothes,
        **hat,
    ).render()
    return _as_child(svg) if person.kind in ("boy", "girl") else svg


def _as_child(svg: str) -> str:
    """The head a third larger than the shoulders ask for, the whole a quarter smaller: a
    child's proportions."""
    neck, larger = 'transform="translate(132 196) scale(1.3) translate(-132 -196)"', "0.76"
    body = re.search(r'<g id="transparent_Body".*?(?=<g id="transparent_Clothing")', svg, re.S)
    face = svg.index('<g id="transparent_Face"')
    end = svg.rindex("</g>")
    assert body
    upper = '<clipPath id="upper"><rect x="-99" y="-99" width="500" height="295"/></clipPath>'
    head = f'<g {neck}><g clip-path="url(#upper)">{body[0]}</g></g>'
    whole = f'<g transform="translate(132 280) scale({larger}) translate(-132 -280)">'
    lower, rest = f"{svg[: body.start()]}{upper}{whole}{body[0]}", svg[end + len("</g>") :]
    return f"{lower}{head}{svg[body.end() : face]}<g {neck}>{svg[face:end]}</g></g></g>{rest}"


@functools.cache
def _dicebear(style: str) -> Any:
    from dicebear import Style

    return Style(_definition(style))


@functools.cache
def _definition(style: str) -> dict[str, Any]:
    return json.loads(files("dicebear_styles").joinpath(f"{style}.json").read_text())


def dicebear(style: str, options: dict[str, Any]) -> str:
    """SVG in one of DiceBear's styles, by its own names of options."""
    from dicebear import Avatar

    return Avatar(_dicebear(style), options).to_string()


def dicebear_variants(style: str, part: str) -> list[str]:
    """The names that one of DiceBear's styles has for the shapes of a part."""
    return list(_definition(style)["components"][part]["variants"])


def _toon(person: Person, shot: Shot, paint: Paint) -> str:
    from dicebear import Avatar

    eyes, brows, mouth = TOON_MOODS[shot.mood]
    hair, rear = TOON_HAIR[person.kind][person.hair]
    beard = {"none": "chin", "a beard": "fullBeard", "a moustache": "moustacheTwirl"}[person.beard]
    options = {
        "seed": "x",
        "size": 128,
        "hairVariant": [hair],
        "rearHairVariant": [rear or "neckHigh"],
        "rearHairProbability": 100 if rear else 0,
        "beardVariant": [beard],
        "beardProbability": 0 if person.beard == "none" else 100,
        "eyesVariant": [eyes],
        "eyebrowsVariant": [brows],
        "mouthVariant": [mouth],
        "clothesVariant": [TOON_CLOTHES[shot.clothes]],
        "clothesColor": [paint.clothes.strip("#")],
        "hairColor": [paint.hair.strip("#")],
        "skinColor": [paint.skin.strip("#")],
    }
    return Avatar(_dicebear("toon-head"), options).to_string()


def _persona(person: Person, shot: Shot, paint: Paint) -> str:
    from dicebear import Avatar

    eyes, mouth = PERSONA_MOODS[shot.mood]
    hat = shot.hat != "none"
    top = paint.hat if hat else paint.hair
    options = {
        "seed": "x",
        "size": 128,
        "hairVariant": [PERSONA_HATS[shot.hat] if hat else PERSONA_HAIR[person.kind][person.hair]],
        "eyesVariant": [PERSONA_GLASSES.get(person.glasses, eyes)],
        "mouthVariant": [mouth],
        "noseVariant": ["smallRound"],
        "facialHairVariant": [PERSONA_BEARDS.get(person.beard, "goatee")],
        "facialHairProbability": 0 if person.beard == "none" else 100,
        "clothesVariant": [PERSONA_CLOTHES[shot.clothes]],
        "clothingColor": [paint.clothes.strip("#")],
        "hairColor": [top.strip("#")],
        "facialHairColor": [paint.hair.strip("#")],
        "skinColor": [paint.skin.strip("#")],
    }
    return Avatar(_dicebear("personas"), options).to_string()
