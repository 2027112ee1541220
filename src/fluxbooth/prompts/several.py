"""A text that calls several people by the trigger words of their LoRAs: what a picture of them all
is told, and what each of them is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight")
# somebody else, or how many there are: nothing to be added to that
_SOMEBODY = re.compile(
    r"\b(?:people|person|man|men|woman|women|boys?|girls?|child|children|kids?|baby|guys?|lady)\b",
    re.I,
)
_GROUP = re.compile(rf"\b(?:{'|'.join(NUMBERS)}|both|couple|friends|family|group|pair)\b", re.I)
_SIDE = re.compile(r",?\s*\b(?:on|at|to) the (left|right|middle|centre|center)\b", re.I)
_TOGETHER = re.compile(
    r",?\s*\b(?:side by side|together|(?:next to|beside|with) (?:each other|one another))\b", re.I
)
# what stands between two people and is said of neither
_JOINING = re.compile(r"(?:\b(?:and|with|next to|beside|a|an|the)\b|[\s,])+$", re.I)
_PLACES = {"left": 0, "right": 2}  # 1 is between them, and where nothing is said


@dataclass(frozen=True)
class Called:
    """`number` is that of the trigger words, `alone` the text of a picture of them alone."""

    number: int
    alone: str


def spans(text: str, triggers: Sequence[str]) -> list[tuple[int, int] | None]:
    """Begin and end of each of the trigger words in the text, in any case; None where it does not
    call them. The same words, called twice, are two people."""
    found, taken = list[tuple[int, int] | None](), dict[str, int]()
    for trigger in triggers:
        at = text.lower().find(trigger.lower(), taken.get(trigger, 0)) if trigger else -1
        if at >= 0:
            taken[trigger] = at + len(trigger)
        found.append((at, at + len(trigger)) if at >= 0 else None)
    return found


def scene(text: str, triggers: Sequence[str]) -> str:
    """What a picture of them all is told: how many they are, and the text with only the class word
    of each trigger: "two people, man and woman" for "ohwx man and ohwx woman"."""
    bare = text
    for trigger in triggers:
        bare = re.sub(re.escape(trigger), "", bare, flags=re.I)
    text = _without(text, triggers)
    if _SOMEBODY.search(bare) or not 2 <= len(triggers) <= len(NUMBERS) + 1:
        return text
    return f"{NUMBERS[len(triggers) - 2]} people, {text}"


def each(text: str, triggers: Sequence[str]) -> list[Called]:
    """Those whom the text calls, all of `triggers`, from left to right: as it says, or in its
    order.

    What it says behind one of them is of that one; of all of them, if there is nothing else behind
    the others; and so is what stands behind a comma after the last, or before the first.
    """
    at = sorted(
        (span, number) for number, span in enumerate(spans(text, triggers)) if span is not None
    )
    ends = [0, *(end for (_, end), _ in at)]
    starts = [*(start for (start, _), _ in at), len(text)]
    pieces = [text[end:start] for end, start in zip(ends, starts, strict=True)]
    # "on the left A, on the right B" has the sides before the people
    sides = pieces[:-1] if _SIDE.search(pieces[0]) else pieces[1:]
    before, *own = [_told(piece, triggers) for piece in pieces]
    own[-1], comma, of_all = own[-1].partition(",")
    if not any(own[:-1]):
        own[-1], of_all = "", f"{own[-1]}{comma}{of_all}"
    before = "" if _SOMEBODY.search(before) or _GROUP.search(before) else before
    before += "," if pieces[0].rstrip().endswith(",") else ""
    told = [
        Called(number, _joined(f"{before} {triggers[number]} {words}", of_all))
        for (_, number), words in zip(at, own, strict=True)
    ]
    places = [_place(piece) for piece in sides]
    return [one for _, one in sorted(zip(places, told, strict=True), key=lambda pair: pair[0])]


def _told(piece: str, triggers: Sequence[str]) -> str:
    """What stands before, between or behind people, without what holds of them only together."""
    piece = _TOGETHER.sub("", _SIDE.sub("", _without(piece, triggers)))
    return _JOINING.sub("", piece).lstrip()


def _without(text: str, triggers: Sequence[str]) -> str:
    for trigger in triggers:
        text = re.sub(re.escape(trigger), trigger.split(" ", 1)[-1], text, flags=re.I)
    return text


def _joined(who: str, of_all: str) -> str:
    phrases = [*who.split(","), *of_all.split(",")]
    return ", ".join(filter(None, (" ".join(phrase.split()).lstrip(". ") for phrase in phrases)))


def _place(piece: str) -> int:
    found = _SIDE.search(piece)
    return _PLACES.get(found[1].lower(), 1) if found else 1
