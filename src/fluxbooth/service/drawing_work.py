"""How much work a drawing is, with the steps that follow it: what its time is told from.

Work is in pixels of a drawing times its steps. What does not draw is counted in drawings of as many
pixels, as measured on nano (`python -m bench.enhance seconds`; bench/results/seconds.json).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from fluxbooth.models import registry, timing
from fluxbooth.prompts import options
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.service.billing import prices
from fluxbooth.service.db.tables import Prompt
from fluxbooth.service.prompts import input_images, references, tags
from fluxbooth.specs import GenerateSpec

USUAL_STEPS = 28  # of the drawing that these are held to
# in drawings of the pixels that they begin with
ENLARGED, HEADS_FOUND, CUT_OUT = 6.6, 0.012, 0.027
GRADED, GRAINED = 0.0017, 0.0018
# in drawings of the pixels that they end with, at full strength
TILED, CONTINUED = 2.1, 0.88
HIRES: float = OPTIONS["hires_denoising_strength"].default
INPAINTED, CORRECTED = 0.65, 0.35  # strengths of faces
STRENGTH = 0.8  # where a picture is started from
# people that a picture shows, where each is drawn with a LoRA of their own
PEOPLE, HEAD = 2, 0.5


def asked_of(prompt: Prompt) -> dict[str, Any]:
    """Its spec with the start of it."""
    given = prompt.fields.get(input_images.FILES, {}).keys() | prompt.fields.get(
        input_images.ADDRESSES, {}
    )
    strength = {"denoising_strength": prompt.fields.get("denoising_strength")}
    asked = options.asked(prompt.spec | strength) | dict.fromkeys(given, True)
    if prompt.fields.get(references.EDITS):
        asked["input_faceid"] = True
    return with_words(asked, prompt.text) | {"references": [*references.photos(prompt)]}


def with_words(asked: Mapping[str, Any], text: str) -> dict[str, Any]:
    """The same, and whether the text beside a picture has no words."""
    wordless = "input_image" in asked and not tags.words_of(text)
    return {**asked} | ({options.WORDLESS: True} if wordless else {})


def kind(asked: Mapping[str, Any]) -> frozenset[str]:
    """What is done, however large the picture: the steps that follow, whether anything is drawn
    before, and how many pictures are looked at meanwhile."""
    steps = {row.step or name for name, row in OPTIONS.items() if name in asked and row.of_spec}
    if options.keeps(asked):
        return frozenset(steps | {"kept"})
    looks_at = registry.looks_at(registry.find(asked["base"]), asked) if "base" in asked else 0
    return frozenset(steps | {f"looks at {looks_at}"})


def work(asked: Mapping[str, Any], pixels: int | None = None) -> float:
    """Of all pictures of a spec, as `asked_of` gives it; `pixels` of the one it starts from, where
    that is known."""
    row = registry.find(asked["base"])
    area = pixels if pixels and options.keeps(asked) else prices.pixels(asked)
    steps = asked.get("steps") or USUAL_STEPS
    drawn = 0.0 if options.keeps(asked) else area * _strength(asked)
    if asked.get("outpaint"):
        width, height = asked.get("outpaint_width"), asked.get("outpaint_height")
        area = int((width or height or 0) * (height or width or 0))
        drawn += CONTINUED * area
    side = round(area**0.5)
    factor = options.enlargement(asked, (side, side), row.native_area)
    fixed, large = (ENLARGED * area if factor > 1 else 0.0), area * factor**2
    if any(asked.get(name) for name in ("hires_fix", *options.TILED)):
        drawn += TILED * large * asked.get("hires_denoising_strength", HIRES)
    if asked.get("inpaint_faces") or asked.get("face_correct"):
        usual = INPAINTED if asked.get("inpaint_faces") else CORRECTED
        drawn += row.native_area * asked.get("face_inpaint_denoising", usual)
        fixed += HEADS_FOUND * large
    if asked.get("multi") or asked.get("use_regional"):
        drawn += PEOPLE * HEAD * row.native_area
    drawn *= timing.slower(row, row.native_area, registry.looks_at(row, asked))
    costs = {"remove_background": CUT_OUT, "color_grading": GRADED, "film_grain": GRAINED}
    fixed += sum(cost * large for name, cost in costs.items() if asked.get(name))
    fixed *= _nano_in(asked["base"])
    return asked["num_images"] * (steps * drawn + USUAL_STEPS * fixed)


@functools.cache
def _nano_in(base: str) -> float:
    """What a pixel of nano's drawings takes, in those of a base: what does not draw takes as long
    beside any of them."""
    taken = [
        timing.guessed_drawing(GenerateSpec(base=name, steps=USUAL_STEPS), area) / area
        for name in ("nano", base)
        for area in [registry.find(name).native_area]
    ]
    return taken[0] / taken[1]


def _strength(asked: Mapping[str, Any]) -> float:
    """Share of the steps that are gone through."""
    if "input_image" not in asked or registry.edits(registry.find(asked["base"]), asked):
        return 1.0
    strength = asked.get("denoising_strength")
    return STRENGTH if strength is None else strength
