"""The words of the web app, which are all in `texts.toml`. Those in braces are filled in."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from fluxbooth.photos.decoder import FORMATS

_ALL = tomllib.loads((Path(__file__).parents[1] / "texts.toml").read_text(encoding="utf-8"))
_TEXTS: dict[str, str] = _ALL["pages"] | {
    "new.photos.help": _ALL["pages"]["new.photos.help"].format(formats=FORMATS)
}
_PLAIN = [(re.compile(row["said"]), row["plain"]) for row in _ALL["plain"]]
IN_THE_BROWSER: dict[str, str] = _ALL["browser"]


def text(name: str, /, **values: object) -> str:
    """A text with its values. KeyError if there is none of that name."""
    return _TEXTS[name].format(**values) if values else _TEXTS[name]


def plain(sentence: str) -> str:
    """What the service tells programs, in words for people."""
    begins = sentence[:1].isupper()
    for pattern, words in _PLAIN:
        sentence = pattern.sub(words, sentence)
    return sentence[:1].upper() + sentence[1:] if begins else sentence


def duration(seconds: float) -> str:
    """A length of time as a person says it."""
    if seconds < 50:
        return text("time.seconds", number=max(5, round(seconds / 5) * 5))
    if seconds < 90:
        return text("time.minute")
    return (
        text("time.minutes", number=round(seconds / 60))
        if seconds < 5400
        else text("time.hours", number=round(seconds / 3600, 1))
    )
