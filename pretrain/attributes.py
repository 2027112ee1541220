"""What a picture can be asked, the answers there are, and which of them a caption gives."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from pretrain import people, things, words
from pretrain.backgrounds import PLAIN_BACKGROUNDS, SCENES

Answers = dict[str, str]  # attribute: value


def vocabulary() -> dict[str, list[str]]:
    """Every attribute and its values."""
    tables = (
        people.MAN_HAIR,
        people.WOMAN_HAIR,
        *people.TOON_HAIR.values(),
        *people.PERSONA_HAIR.values(),
    )
    hair = {name for table in tables for name in table}
    return {
        "style": list(words.DRAWING),
        "kind": ["man", "woman", "boy", "girl", *things.THINGS],
        "hair": sorted(hair),
        "hair_colour": list(people.HAIR_COLOURS),
        "skin": list(people.SKINS),
        "glasses": list(people.GLASSES),
        "beard": [*people.BEARDS, "a goatee"],
        "clothes": sorted({*people.CLOTHES, *people.TOON_CLOTHES, *people.PERSONA_CLOTHES}),
        "clothes_colour": list(people.CLOTHES_COLOURS),
        "mood": [*people.MOODS, "sleeping"],
        "background": [wall(name) for name in (*PLAIN_BACKGROUNDS, *SCENES)],
        "position": list(people.POSITIONS),
        "eyes": list(people.EYES),
        "pose": list(people.POSES),
        "hat": ["none", *people.HATS, "a cap"],
        "hat_colour": list(people.CLOTHES_COLOURS),
        "number": ["one", "two"],
    }


def of_grown_ups() -> dict[str, list[str]]:
    """The part of the vocabulary that men and women of the first two styles, without a hat, can
    show: what the shipped reader knows."""
    hair = {
        name
        for table in (people.MAN_HAIR, people.WOMAN_HAIR, *people.TOON_HAIR.values())
        for name in table
    }
    shown: dict[str, Collection[str]] = {
        "style": ("avatar", "toon"),
        "kind": ("man", "woman"),
        "hair": hair,
        "beard": people.BEARDS,
        "mood": people.MOODS,
        "clothes": (*people.CLOTHES, *people.TOON_CLOTHES),
        "eyes": (),
        "pose": (),
        "hat": (),
        "hat_colour": (),
        "number": (),
    }
    found = {
        name: [value for value in values if value in shown.get(name, values)]
        for name, values in vocabulary().items()
    }
    return {name: values for name, values in found.items() if values}


def wall(name: str) -> str:
    return f"{name} wall" if name in PLAIN_BACKGROUNDS else name


def place_words(name: str) -> list[str]:
    return [SCENES[name]] if name in SCENES else [f"{name} background", f"{name} wall"]


def found(text: str, phrases: Mapping[str, Sequence[str]], answers: Answers) -> Answers:
    return {
        name: value
        for name, value in answers.items()
        if any(_says(text, phrase) for phrase in phrases.get(name, ()))
    }


def _says(text: str, phrase: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(phrase)}(?![a-z0-9])", text) is not None
