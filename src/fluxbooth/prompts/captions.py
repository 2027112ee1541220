"""The words of a proposed caption: what a photo shows beside its subject, so that the rare token
does not learn it."""

from __future__ import annotations

from typing import TypedDict

from fluxbooth.prompts import mask_words

STYLE = "style"  # the class word of LoRAs of a drawing style, whose photos show people
UNSAID = "person"  # the class as long as nobody said it: most tunes are of people
TRIGGER = "[trigger]"  # in a caption, in the place of the trigger words


class Seen(TypedDict, total=False):
    """What a photo was seen to show, in words that stand in a caption as they are."""

    worn: str  # a red hoodie
    mood: str  # smiling
    place: str  # at the beach
    position: str  # on the left


def caption(seen: Seen, class_name: str) -> str:
    """`[trigger] wearing a red hoodie, smiling, at the beach, on the left`, or less of it. What is
    worn and the mood are named where the class is a person or a style."""
    people = mask_words.is_person(class_name) or class_name == STYLE
    worn = f"wearing {seen['worn']}" if people and "worn" in seen else ""
    said = [worn, seen.get("mood") if people else "", seen.get("place"), seen.get("position")]
    said = [words for words in said if words]
    if not said:
        return TRIGGER
    return f"{TRIGGER}{' ' if worn else ', '}{', '.join(said)}"
