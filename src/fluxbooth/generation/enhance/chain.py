"""The steps that follow a drawing, in the order of the contract: outpainting, super-resolution,
hires fix, faces, colour grading, grain, what is outside the mask put back, background removed.

Each step that is asked for takes a picture and gives one, and says what it used; the picture's
metadata names them in order. Seeds of the steps follow from that of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from fluxbooth.generation.enhance import film
from fluxbooth.models.base import Base
from fluxbooth.specs import EnhanceSpec
from fluxbooth.types import Json


@dataclass(frozen=True)
class Work:
    """What a step may use.

    Attributes:
        spec: What is asked.
        seed: That of the picture.
        base: The row of the base, whether it is in memory or not.
    """

    spec: EnhanceSpec
    seed: int
    base: Base


@dataclass(frozen=True)
class Step:
    """One step: whether it is wanted, and what it does."""

    name: str
    wanted: Callable[[EnhanceSpec], object]
    run: Callable[[Image.Image, Work], tuple[Image.Image, Json]]


def _grade(image: Image.Image, work: Work) -> tuple[Image.Image, Json]:
    film_name = work.spec.color_grading or ""
    return film.grade(image, film_name, work.seed), {"film": film_name}


def _grain(image: Image.Image, work: Work) -> tuple[Image.Image, Json]:
    return film.grain(image, work.seed), {}


STEPS: tuple[Step, ...] = (
    Step("color_grading", lambda spec: spec.color_grading, _grade),
    Step("film_grain", lambda spec: spec.film_grain, _grain),
)


def enhance(image: Image.Image, work: Work) -> tuple[Image.Image, list[Json]]:
    """The picture after all steps that are asked for, and what each used, in order."""
    told: list[Json] = []
    for step in _wanted(work.spec):
        image, used = step.run(image, work)
        told.append({"step": step.name, **used})
    return image, told


def _wanted(spec: EnhanceSpec) -> Sequence[Step]:
    return [step for step in STEPS if step.wanted(spec)]
