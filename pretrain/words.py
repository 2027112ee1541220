"""The words for a picture: many phrasings, from two words to sixty; every statement in them is
true of the picture."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pretrain.backgrounds import SCENES
from pretrain.people import Person, Shot

DRAWING = {  # style: (in "a ... of", before "portrait")
    "avatar": ("flat cartoon", "cartoon"), "toon": ("toon drawing", "toon"), "persona": ("persona drawing", "persona"),
    "clay": ("clay figure", "clay"), "3d": ("3d render", "3d"), "sticker": ("sticker", "sticker"), "emoji": ("emoji", "emoji"),
}  # fmt: skip


def coloured(colour: str, thing: str) -> str:
    """A red afro, from "red" and "an afro"."""
    name = bare(thing)
    return f"{colour} {name}" if name == thing else with_article(f"{colour} {name}")


def bare(thing: str) -> str:
    return thing.removeprefix("an ").removeprefix("a ")


def with_article(thing: str) -> str:
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def clothes(shot: Shot) -> str:
    return coloured(
        shot.clothes_colour, shot.clothes if shot.clothes == "overalls" else f"a {shot.clothes}"
    )


def place(name: str, rng: random.Random) -> str:
    if name in SCENES:
        return SCENES[name]
    return rng.choice(
        (
            f"{name} background",
            f"on {with_article(name)} background",
            f"in front of {with_article(name)} wall",
        )
    )


def portrait(person: Person, shot: Shot, rng: random.Random) -> str:
    keep_identity = rng.choice((0.0, 0.5, 0.8, 1.0))
    keep_shot = rng.choice((0.4, 0.8, 1.0, 1.0))
    scene = (
        _kept(rng.choice(("wearing {}", "in {}", "{}")).format(clothes(shot)), keep_shot, rng)
        + _kept(shot.mood, keep_shot, rng)
        + _kept(place(shot.background, rng), keep_shot, rng)
    )
    if shot.position != "centre":
        scene += _kept(f"on the {shot.position}", keep_shot * 0.7, rng)
    if shot.pose != "none":
        scene += _kept(shot.pose, keep_shot, rng)
    if distance := _distance(shot):
        scene += _kept(distance, keep_shot * 0.4, rng)
    if rng.random() < 0.3:
        rng.shuffle(scene)
    who = person.kind + _with(features(person, shot, keep_identity, rng), rng)
    drawing = DRAWING[person.style]
    opening = rng.choice(
        (
            f"a {drawing[0]} of a {who}",
            f"{drawing[1]} portrait of a {who}",
            f"a {who}",
            who,
            f"portrait of a {who}",
            who,
        )
    )
    return ", ".join([opening, *scene])


def prose(person: Person, shot: Shot, rng: random.Random) -> str:
    """The same in sentences, twenty to sixty words."""
    he, his, him = ("he", "his", "him") if person.kind in ("man", "boy") else ("she", "her", "her")
    seen = [f"{he} wears {it}" for it in (person.glasses, _hat(shot)) if it != "none"]
    if shot.hat == "none":
        seen += [
            rng.choice(("{he} has {it}", "with {it}, {he} is easy to tell apart")).format(
                he=he, it=_hair(person)
            )
        ]
    seen += [f"{his} face has {person.skin} skin"]
    seen += [f"{he} has {it}" for it in _beard_and_eyes(person, shot)]
    dressed = rng.choice(
        ("{he} is dressed in {it}", "{he} is wearing {it}", "{his} clothes are {it}")
    )
    seen += [dressed.format(he=he, his=his, it=clothes(shot))]
    seen += [f"{he} is {it}" for it in (shot.mood, shot.pose) if it != "none"]
    there = SCENES.get(shot.background, f"in front of {with_article(shot.background)} wall")
    seen += [rng.choice(("{he} stands {it}", "we see {him} {it}")).format(he=he, him=him, it=there)]
    if shot.position != "centre":
        seen += [f"{he} is on the {shot.position} of the picture"]
    if distance := _distance(shot):
        seen += [f"we see {him} {distance}" if distance == "from afar" else f"it is a {distance}"]
    if rng.random() < 0.5:
        rng.shuffle(seen)
    seen = seen[: rng.randint(5, len(seen))]
    while sum(len(sentence.split()) for sentence in seen) > 50:
        seen.pop()
    drawing = with_article(DRAWING[person.style][0])
    opening = rng.choice(
        (
            "this is {drawing} of a {kind}",
            "{drawing} shows a {kind}",
            "here is a {kind}, in {drawing}",
        )
    )
    return ". ".join([opening.format(drawing=drawing, kind=person.kind), *seen]) + "."


def features(person: Person, shot: Shot, keep: float, rng: random.Random) -> list[str]:
    """Hair or hat, glasses, beard, eyes and skin, each with probability `keep`."""
    hair = (
        f"{person.hair_colour} hair"
        if rng.random() < 0.15 and person.hair != "a bald head"
        else _hair(person)
    )
    found = _kept(hair if shot.hat == "none" else _hat(shot), keep, rng)
    glasses = [person.glasses] if person.glasses != "none" else []
    found += [
        words
        for thing in (*glasses, *_beard_and_eyes(person, shot))
        for words in _kept(thing, keep, rng)
    ]
    skin = _kept(f"{person.skin} skin", keep * 0.8, rng)
    return found + skin if rng.random() < 0.7 else skin + found


def _hair(person: Person) -> str:
    return (
        person.hair if person.hair == "a bald head" else coloured(person.hair_colour, person.hair)
    )


def _hat(shot: Shot) -> str:
    return "none" if shot.hat == "none" else coloured(shot.hat_colour, shot.hat)


def _beard_and_eyes(person: Person, shot: Shot) -> list[str]:
    """Those that can be seen."""
    open_eyes = [f"{person.eyes} eyes"] if person.eyes != "none" and shot.mood != "sleeping" else []
    return [person.beard, *open_eyes] if person.beard != "none" else open_eyes


def _distance(shot: Shot) -> str:
    return "close-up" if shot.scale > 1.08 else "from afar" if shot.scale < 0.86 else ""


def pair(left: tuple[Person, Shot], right: tuple[Person, Shot], rng: random.Random) -> str:
    """Of two people side by side; the left one comes first, or is said to be on the left."""
    keep_identity, keep_shot = rng.choice((0.0, 0.3, 0.6)), rng.choice((0.3, 0.7, 1.0))

    def one(person: Person, shot: Shot) -> str:
        dressed = _kept(f"in {clothes(shot)}", keep_shot, rng)
        return " ".join(
            [f"a {person.kind}{_with(features(person, shot, keep_identity, rng), rng)}", *dressed]
        )

    first, second = one(*left), one(*right)
    drawing = rng.choice((f"a {DRAWING[left[0].style][0]} of ", "", "", "portrait of "))
    people = rng.choice(
        (
            f"{first} and {second}, side by side",
            f"{first} next to {second}",
            f"two people, {first} on the left, {second} on the right",
            f"{first} and {second}",
        )
    )
    return ", ".join([drawing + people, *_kept(place(left[1].background, rng), keep_shot, rng)])


def still(style: str, thing: str, position: str, background: str, rng: random.Random) -> str:
    named, drawing = with_article(thing), with_article(DRAWING[style][0])
    opening = rng.choice(
        (f"{drawing} of {named}", f"{drawing} of {named}", named, thing, f"picture of {named}")
    )
    where = _kept(f"on the {position}", 0.7, rng) if position != "centre" else []
    return ", ".join([opening, *_kept(place(background, rng), 0.8, rng), *where])


def _kept(words: str, share: float, rng: random.Random) -> list[str]:
    return [words] if rng.random() < share else []


def _with(features: Sequence[str], rng: random.Random) -> str:
    return (
        " with " + (" and ".join(features) if rng.random() < 0.4 else ", ".join(features))
        if features
        else ""
    )
