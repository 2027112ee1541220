"""What each pixel of a render shows, exactly: hair, skin, clothes ..., or an animal, or the
background.

A flat figure is drawn again in black with one part in a bright colour: what lights up is that part.
A beard and glasses are what changes when they are left out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from fluxbooth.prompts.mask_words import PARTS
from pretrain import faces, people, things
from pretrain.people import Paint, Person, Shot
from pretrain.renders import Box, Pair, Portrait, Row, Still, placed, rasterised

NUMBER = {name: i for i, name in enumerate(PARTS)}
BLACK = Paint("#000000", "#000000", "#000000", "#000000")
KEYS = Paint("#ff0000", "#00ff00", "#0000ff", "#000000")
# below this share of a figure's height, what has no colour of its own (a shirt under a blazer)
# belongs to the clothes
SHOULDERS = {"avatar": 0.62, "toon": 0.78, "persona": 0.74}
CHILDS_SHOULDERS = 0.71
OWN_COLOUR = 0.25  # share of a pixel that must light up with its part
CHANGED = 40  # of 255: by how much a pixel changes where something was left out


def parts(row: Row, width: int, height: int) -> np.ndarray:
    """uint8 `height` x `width` x 2: the number in PARTS of what stands in front, and how much of
    the pixel it covers, 0 to 255. It does not depend on what moves in the background."""
    covered = np.zeros((height, width, len(PARTS)), np.float32)
    match row:
        case Portrait():
            covered = _figure(row.person, row.shot, row.place(width, height), width, height)
        case Pair():
            for one, place in zip((row.left, row.right), row.places(width, height), strict=True):
                above = _figure(one.person, one.shot, place, width, height)
                covered = above + covered * (1 - above.sum(2, keepdims=True))
        case Still():
            number = NUMBER["animal" if row.thing in things.ANIMALS else "object"]
            covered[..., number] = np.asarray(row.covered(width, height), np.float32) / 255
    share = covered.sum(2)
    label = np.where(share > 0, covered.argmax(2), 0)
    return np.stack([label, (share.clip(0, 1) * 255).round()], 2).astype(np.uint8)


def _figure(person: Person, shot: Shot, place: Box, width: int, height: int) -> np.ndarray:
    """float32 H x W x PARTS: how much of each pixel one person's parts cover."""
    if person.style == "clay":
        keyed = np.asarray(faces.parts(person, shot, (width, height), place), np.float32) / 255
        share, label = keyed.sum(2), np.array([NUMBER[n] for n in ("hair", "skin", "clothes")])
        return _one_hot(label[keyed.argmax(2)], share)

    def drawn(who: Person, how: Shot, paint: Paint) -> np.ndarray:
        svg = placed(people.figure(who, how, paint), place)
        return np.asarray(rasterised(svg, width, height, "RGBA"), np.float32) / 255

    bare = replace(person, beard="none", glasses="none")
    black, keys = (drawn(bare, shot, paint) for paint in (BLACK, KEYS))
    lit = (keys - black)[..., :3] * black[..., 3:]
    shown = {name: lit[..., i] for i, name in enumerate(("hair", "skin", "clothes"))}
    if shot.hat != "none":
        hat = drawn(bare, shot, replace(BLACK, hat="#ffffff")) - black
        # it is above all else, if here and there translucent
        shown = {"hat": 3 * hat[..., 0] * black[..., 3]} | shown
    share = drawn(person, shot, BLACK)[..., 3]
    label = _labels(shown, share, 0.02 * (place[2] - place[0]))
    y = (np.arange(height)[:, None] - place[1]) / (place[3] - place[1])
    shoulders = SHOULDERS[person.style] if person.kind in ("man", "woman") else CHILDS_SHOULDERS
    label[(sum(shown.values()) < OWN_COLOUR * share) & (y > shoulders)] = NUMBER["clothes"]
    for part in ("beard", "glasses"):
        if (value := getattr(person, part)) != "none":
            worn = drawn(replace(bare, **{part: value}), shot, KEYS)
            label[np.abs(worn - keys)[..., :3].max(2) * 255 > CHANGED] = NUMBER[part]
    return _one_hot(label, share)


def _labels(shown: dict[str, np.ndarray], share: np.ndarray, around: float) -> np.ndarray:
    """The number of the part that each pixel shows; lines and details of a fixed colour belong to
    what is within about `around` pixels."""
    numbers = np.array([NUMBER[name] for name in shown])
    seen = np.stack(list(shown.values()), 2)
    near = np.stack([_blurred(values, around) for values in shown.values()], 2)
    clear = seen.max(2) > OWN_COLOUR * share
    return numbers[np.where(clear, seen.argmax(2), near.argmax(2))]


def _one_hot(label: np.ndarray, share: np.ndarray) -> np.ndarray:
    return (np.eye(len(PARTS), dtype=np.float32)[label] * share[..., None]).astype(np.float32)


def _blurred(values: np.ndarray, radius: float) -> np.ndarray:
    image = Image.fromarray((values.clip(0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32)
