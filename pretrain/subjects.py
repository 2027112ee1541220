"""What LoRAs are measured with: people, clay heads, things and drawing styles, each with its
photos and with prompts about the rest."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from fluxbooth.evaluation import likeness
from pretrain import words
from pretrain.attributes import Answers
from pretrain.people import (
    FACES,
    HELD_OUT,
    Person,
    random_clay,
    random_person,
    random_persona,
    random_shot,
)
from pretrain.renders import Portrait, Row, Still


def held_out_people() -> list[Person]:
    return [Person(**row) for row in HELD_OUT["people"]]


@dataclass(frozen=True)
class Subject:
    """What a LoRA is to learn: its photos, what stays the same in them, and prompts that say
    nothing of that."""

    class_name: str
    identity: Answers
    photo: Callable[[random.Random], Row]
    prompt: Callable[[random.Random], tuple[str, Answers]]  # the words, and what they should show


def person(who: Person) -> Subject:
    def prompt(rng: random.Random) -> tuple[str, Answers]:
        shot = random_shot(rng, who.style)
        truth = Portrait(who, shot).answers()
        seen = [
            f"ohwx {who.kind} wearing {words.clothes(shot)}",
            shot.mood,
            words.place(shot.background, rng),
        ]
        seen += [shot.pose] if shot.pose != "none" else []
        return ", ".join(seen), {
            name: truth[name]
            for name in ("clothes", "clothes_colour", "mood", "background", "pose")
            if name in truth
        }

    names = (
        likeness.IDENTITY
        if who.style != "clay"
        else ("kind", "hair", "hair_colour", "skin", "eyes")
    )
    identity = {name: getattr(who, name) for name in names}
    return Subject(
        who.kind, identity, lambda rng: Portrait(who, random_shot(rng, who.style)), prompt
    )


def held_out_face(number: int) -> Person:
    """A head of clay whose face no training picture shows."""
    return replace(random_clay(random.Random(f"held-out face {number}")), face=FACES - 1 - number)


def thing(held_out: str) -> Subject:
    """An animal or object in a drawing style in which the base never saw it."""
    style, _, name = held_out.partition(" ")

    def photo(rng: random.Random) -> Still:
        shot = random_shot(rng, "avatar")
        return Still(style, name, shot.background, shot.position, rng.uniform(0.7, 1.1))

    def prompt(rng: random.Random) -> tuple[str, Answers]:
        row = photo(rng)
        return f"ohwx {name}, {words.place(row.background, rng)}", {
            "background": row.answers()["background"]
        }

    return Subject(name, {"style": style, "kind": name}, photo, prompt)


def drawing(style: str) -> Subject:
    """A drawing style, learnt from eight people in it."""

    def photo(rng: random.Random) -> Portrait:
        return Portrait(
            random_persona(rng) if style == "persona" else random_person(rng, style),
            random_shot(rng, style),
        )

    def prompt(rng: random.Random) -> tuple[str, Answers]:
        row = photo(rng)
        who, shot = row.person, row.shot
        truth = row.answers()
        hair, place = words.coloured(who.hair_colour, who.hair), words.place(shot.background, rng)
        text = f"ohwx style, {who.kind} with {hair}, {words.clothes(shot)}, {place}"
        return text, {name: truth[name] for name in ("kind", "clothes_colour", "background")}

    return Subject("style", {"style": style}, photo, prompt)


def subject(kind: str, number: int) -> Subject:
    """Of "people", "faces" and "objects", which nano has not seen so, or "styles", which it
    has, under other names."""
    if kind == "people":
        return person(held_out_people()[number])
    if kind == "faces":
        return person(held_out_face(number))
    return (
        thing(HELD_OUT["things"][number])
        if kind == "objects"
        else drawing(("toon", "persona", "avatar")[number])
    )
