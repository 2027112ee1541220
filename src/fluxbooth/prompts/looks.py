"""The looks that the contract names. A style is words around a prompt; a colour grading is done to
the picture (`generation/enhance/film.py`)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from fluxbooth.prompts.language import Advice

COLOR_GRADINGS = ("Film Velvia", "Film Portra", "Ektar")


class Style(NamedTuple):
    """What stands before a prompt, and the phrases after it, what matters most first."""

    before: str
    after: tuple[str, ...]


# Said of what is there, never of what is not. `before` is short, for the trigger words come next.
STYLES: dict[str, Style] = {
    "Cinematic": Style(
        "Cinematic film still of",
        ("dramatic light", "dark and moody", "shallow depth of field", "rich colour grade"),
    ),
    "Animated": Style(
        "Cartoon from an animated film of",
        ("large eyes", "round shapes", "bright colours", "soft shading"),
    ),
    "Digital Art": Style(
        "Digital art of",
        ("glowing light", "purple and blue", "smooth painted shapes", "concept art"),
    ),
    "Photographic": Style(
        "Photograph of",
        ("natural light", "35 mm lens", "sharp focus", "fine detail of skin and hair"),
    ),
    "Fantasy art": Style(
        "Fantasy painting of",
        ("magical light", "wild forest", "mist among mountains", "ornate detail"),
    ),
    "Neonpunk": Style(
        "Neonpunk picture of",
        ("pink and blue neon light", "dark city at night", "glossy reflections"),
    ),
    "Enhance": Style("", ("vivid colours", "balanced light", "crisp detail")),
    "Comic book": Style(
        "Comic book drawing of",
        ("bold black outlines", "flat bright colours", "halftone dots"),
    ),
    "Lowpoly": Style("Low poly 3d render of", ("flat triangles", "simple shapes", "soft light")),
    "Line art": Style(
        "Line drawing of", ("black lines on white paper", "clean contours", "black and white")
    ),
}


def style_named(text: str) -> str | None:
    """The style that is meant: in any case, with spaces, hyphens or nothing between its words."""
    return {_key(name): name for name in STYLES}.get(_key(text))


def grading_named(text: str) -> str | None:
    """The colour grading that is meant, spelt as in `style_named`, with "film" or without."""
    names = {_key(name).removeprefix("film"): name for name in COLOR_GRADINGS}
    return names.get(_key(text).removeprefix("film"))


def styled(
    text: str,
    style: str,
    count_tokens: Callable[[str], int] | None = None,
    text_length: int = 512,
) -> tuple[str, Advice | None]:
    """A prompt in one of STYLES; with advice if some of the style had no room.

    The text stands in it as it is, with its trigger words and its LoRA tags. With `count_tokens`,
    the style keeps to the `text_length` tokens that the base reads: its last phrases are left out
    first, then all of it, never a word of the prompt.
    """
    count = count_tokens or (lambda _: 0)
    chosen = STYLES[style]
    shorter = [Style(chosen.before, chosen.after[:n]) for n in range(len(chosen.after), -1, -1)]
    kept = next((one for one in shorter if count(_joined(one, text)) <= text_length), Style("", ()))
    if kept == chosen:
        return _joined(kept, text), None
    left_out = [
        *([chosen.before] if kept.before != chosen.before else []),
        *chosen.after[len(kept.after) :],
    ]
    return _joined(kept, text), Advice(
        "style_cut",
        f"{text_length} tokens are read, and the prompt takes most of them: of the style {style}, "
        f'"{", ".join(left_out)}" is left out.',
        0,
        0,
    )


def _joined(style: Style, text: str) -> str:
    before = f"{style.before} " if style.before else ""
    if not style.after:
        return before + text
    whole, after = text.rstrip(" ,"), ", ".join(style.after)
    if whole.endswith((".", "!", "?")):
        return f"{before}{whole} {after[0].upper()}{after[1:]}"
    return f"{before}{whole}, {after}"


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())
