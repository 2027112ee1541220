"""The operator's price list, and the prices of work that follow from it. Whole millicents; 100,000
are a dollar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fluxbooth.models import registry
from fluxbooth.prompts.options import OPTIONS, charged, done
from fluxbooth.specs import PRESET_NAMES, TrainSpec, steps_for

MEGAPIXEL = 2**20
Price = Annotated[int, Field(ge=0, le=10**10)]
if TYPE_CHECKING:  # which cannot read the names out of a table
    Step = Option = str
else:
    Step = Literal[("none", *PRESET_NAMES)]
    Option = Literal[tuple(row.name for row in OPTIONS.values() if row.priced)]


class Prices(BaseModel):
    """All zero by default: everything is free, and the ledger stays empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # of a training, by preset; `none` is without one
    step: dict[Step, Price] = Field(default_factory=dict)
    picture: Price = 0  # each picture, however small
    megapixel: Price = 0  # on top, for each 2**20 pixels of it, in proportion
    # on top, for each picture that asks for it
    options: dict[Option, Price] = Field(default_factory=dict[Option, Price])

    @field_validator("options")
    @classmethod
    def _are_done(cls, options: dict[Option, int]) -> dict[Option, int]:
        idle = [name for name, price in options.items() if price and OPTIONS[name].refused]
        if idle:
            raise ValueError(
                f"{', '.join(idle)} cannot have a price, because this version does not do it: "
                "take it out"
            )
        return options

    @property
    def are_free(self) -> bool:
        """Whether nothing here costs anything."""
        listed = (*self.step.values(), *self.options.values())
        return not any((self.picture, self.megapixel, *listed))


def training_cost(prices: Prices, spec: TrainSpec, photos: int) -> int:
    """Of all steps of a training on so many photos."""
    return steps_for(spec, photos) * prices.step.get(spec.preset or "none", 0)


def untrained(cost_mc: int, planned: int, trained: int) -> int:
    """What of the price of so many planned steps is for those that were not trained; fractions stay
    with the steps that were."""
    return cost_mc - -(-cost_mc * min(trained, planned) // planned)


def drawing_cost(
    prices: Prices, spec: Mapping[str, Any], options: Iterable[str], *, trial: bool = False
) -> int:
    """Of all pictures of a prompt: `spec` is its GenerateSpec, `options` those that are done. The
    plain picture of a `trial` is free. Fractions are rounded up."""
    plain = prices.picture + -(-pixels(spec) * prices.megapixel // MEGAPIXEL)
    each = 0 if trial else plain
    each += sum(prices.options.get(name, 0) for name in options)
    return spec["num_images"] * each


def undone(prices: Prices, spec: Mapping[str, Any], recipes: Iterable[Mapping[str, Any]]) -> int:
    """What options of a prompt would cost for those of its pictures that had no need of them: no
    face to draw anew, a picture that was large enough. `recipes` is the pictures' metadata."""
    asked = charged(spec)
    return sum(
        prices.options.get(name, 0)
        for recipe in recipes
        for name in asked
        if not done(name, recipe.get("enhanced", ()))
    )


def pixels(spec: Mapping[str, Any]) -> int:
    """Of one picture as it is drawn, continued beyond its edges where that is asked, and before it
    is enlarged; an aspect ratio has about the base's own area, and so counts a picture that is
    given."""
    if spec.get("outpaint"):
        width, height = spec.get("outpaint_width"), spec.get("outpaint_height")
        return (width or height or 0) * (height or width or 0)
    if spec.get("width") and spec.get("height"):
        return spec["width"] * spec["height"]
    return registry.find(spec["base"]).native_area
