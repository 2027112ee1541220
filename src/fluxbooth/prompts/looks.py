"""The looks that the contract names. A style is words around a prompt; a colour grading is done to
the picture (`generation/enhance/film.py`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from fluxbooth.prompts.language import Advice


class Style(NamedTuple):
    """What stands before a prompt, and the phrases after it, what matters most first."""

    before: str
    after: tuple[str, ...]


SHARE = 3  # a style takes at most one in so many of the tokens that a base reads

# Said of what is there, never of what is not, and of no place or clothes, which are the prompt's to
# say. `before` is short, for the trigger words come next.
STYLES: dict[str, Style] = {
    "Cinematic": Style(
        "Film still of",
        ("cinematic light", "dark and moody", "shallow depth of field", "rich colour grade"),
    ),
    "Animated": Style(
        "Cartoon of",
        ("flat bright colours", "large round eyes", "from an animated film", "soft shading"),
    ),
    "Digital Art": Style(
        "Digital art of",
        ("purple and blue light", "smooth painted shapes", "glowing highlights", "concept art"),
    ),
    "Photographic": Style(
        "Photograph of",
        ("natural light", "sharp focus", "35 mm lens", "fine detail of skin and hair"),
    ),
    "Fantasy art": Style(
        "Fantasy painting of",
        ("magical light", "ornate detail", "soft mist", "epic mood"),
    ),
    "Neonpunk": Style(
        "Neon picture of",
        ("pink and blue neon light", "glossy reflections", "glowing edges", "neonpunk"),
    ),
    "Enhance": Style("", ("vivid colours", "balanced light", "crisp detail")),
    "Comic book": Style(
        "Comic drawing of",
        ("black outlines", "flat bright colours", "halftone dots", "panel of a comic book"),
    ),
    "Lowpoly": Style("Low poly 3d render of", ("flat triangles", "simple shapes", "soft light")),
    "Line art": Style(
        "Line drawing of", ("black and white", "clean lines on white paper", "simple contours")
    ),
}


def styled(
    text: str,
    style: str,
    count_tokens: Callable[[str], int] | None = None,
    text_length: int = 512,
) -> tuple[str, Advice | None]:
    """A prompt in one of STYLES; with advice if some of the style had no room.

    The text stands in it as it is, with its trigger words and its LoRA tags. With `count_tokens`,
    all of it keeps to the `text_length` tokens that the base reads, and the style to its SHARE of
    them, so that it does not drown the prompt: its last phrases are left out first, then all of
    it, never a word of the prompt.
    """
    count = count_tokens or (lambda _: 0)
    chosen, most = STYLES[style], min(text_length, count(text) + text_length // SHARE)
    shorter = [Style(chosen.before, chosen.after[:n]) for n in range(len(chosen.after), -1, -1)]
    kept = next((one for one in shorter if count(_joined(one, text)) <= most), Style("", ()))
    if kept == chosen:
        return _joined(kept, text), None
    left_out = (*(() if kept.before else (chosen.before,)), *chosen.after[len(kept.after) :])
    return _joined(kept, text), Advice(
        "style_cut",
        f"This base reads {text_length} tokens of a text, too few for all of the style {style}: "
        f'"{", ".join(filter(None, left_out))}" is left out.',
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
