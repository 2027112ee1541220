"""What a prompt asks for, in the attributes that a base's reader knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fluxbooth.models.attribute_reader import Reading

PLACES = {
    "beach": ("beach", "sea"), "forest": ("forest", "woods"), "city": ("city",),
    "mountains": ("mountains",), "desert": ("desert",), "space": ("stars", "space"),
    "room": ("living room",), "sunset": ("sunset",),
}  # fmt: skip
OF = {"clothes_colour": "clothes", "hair_colour": "hair"}  # a colour, and what it is a colour of


def asked(text: str, attributes: Mapping[str, Sequence[str]]) -> Reading:
    """The attributes that a prompt names, each with the longest of its values that it names. What
    is not in the reader's words is not asked."""
    found = Reading()
    for name, values in attributes.items():
        if name in OF or name == "background":
            continue
        named = [value for value in values if value != "none" and _says(text, _bare(value))]
        if named and name not in ("skin", "position", "style"):
            found[name] = max(named, key=len)
    found |= _colours(text, attributes, found)
    for value in attributes.get("skin", ()):
        if _says(text, f"{value} skin"):
            found["skin"] = value
    for value in attributes.get("position", ()):
        if _says(text, f"on the {value}"):
            found["position"] = value
    for value in attributes.get("background", ()):
        colour = value.removesuffix(" wall")
        words = (f"{colour} background", f"{colour} wall") if colour != value else PLACES[value]
        if any(_says(text, word) for word in words):
            found["background"] = value
    return found


def _colours(
    text: str, attributes: Mapping[str, Sequence[str]], found: Mapping[str, str]
) -> Reading:
    """A colour counts where it stands right before what it is a colour of."""
    colours = Reading()
    for name, thing in OF.items():
        things = [_bare(found[thing])] if thing in found else []
        things += ["hair"] if thing == "hair" else []
        for value in attributes.get(name, ()):
            if any(_says(text, f"{value} {word}") for word in things):
                colours[name] = value
    return colours


def _bare(value: str) -> str:
    return re.sub(r"^an? ", "", value)


def _says(text: str, phrase: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(phrase)}(?![\w-])", text, re.IGNORECASE) is not None
