"""Why FLUX takes no negative prompt, and what to write instead of the usual terms of one."""

from __future__ import annotations

import re

from fluxbooth.errors import InputError

_INSTEAD: tuple[tuple[str, str], ...] = (
    (r"blurry|blurred|blur|out of focus|unfocused", "sharp focus"),
    (
        r"(?:bad|deformed|mutated|ugly) hands?|(?:extra|missing|fused|too many) fingers?",
        "natural hands at rest",
    ),
    (
        r"bad anatomy|deformed|disfigured|mutated|mutation|extra (?:limbs?|arms?|legs?)",
        "natural proportions",
    ),
    (
        r"text|watermarks?|signatures?|logos?|letters|captions?|username",
        "a clean, plain background",
    ),
    (r"no people|people|crowds?|persons?|humans?", "an empty place"),
    (r"cartoon|anime|drawing|painting|illustration|sketch|3d|cgi|render", "a photograph"),
    (
        r"(?:low|worst|bad|poor) quality|low ?res|low resolution|jpe?g artifacts?|pixelated",
        "a detailed photograph",
    ),
    (r"dark|underexposed|too dark|dim|gloomy", "bright daylight"),
    (r"black and white|monochrome|gr[ae]yscale", "full, natural colour"),
    (r"glasses|sunglasses", "eyes in plain view"),
    (r"hats?", "bare-headed"),
)
# "no people" and "too dark" must win over "people" and "dark", which they do by starting earlier in
# the text.
_UNWANTED = re.compile(
    "|".join(rf"\b(?P<t{row}>{terms})\b" for row, (terms, _) in enumerate(_INSTEAD))
)


def check_negative(negative_prompt: str | None) -> None:
    """Refuse a negative prompt, with a positive wording for each common term that it holds."""
    searched = re.sub(r"[\s_-]+", " ", (negative_prompt or "").lower())
    if not searched.strip():
        return
    found = {match[0]: int(str(match.lastgroup)[1:]) for match in _UNWANTED.finditer(searched)}
    shown = "; ".join(
        f'instead of "{term}" write "{_INSTEAD[row][1]}"' for term, row in found.items()
    )
    instead = f": {shown}" if shown else ", such as sharp focus or a plain wall"
    reason = "it is not trained with one, so there is nothing to subtract"
    raise InputError(
        f"FLUX takes no negative prompt: {reason}. Say in the prompt what should be there{instead}."
    )
