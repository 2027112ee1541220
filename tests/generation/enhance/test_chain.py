"""What a step could not do: said in the metadata, and of a drawn picture nothing is lost by it."""

from __future__ import annotations

from typing import Any, cast

import pytest
from PIL import Image

from fluxbooth.generation.enhance import chain, heads
from fluxbooth.generation.enhance import people as enhance_people
from fluxbooth.generation.enhance.chain import Work
from fluxbooth.generation.enhance.faces import INPAINT_STRENGTH
from fluxbooth.generation.enhance.people import STRENGTH, Somebody
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.models.registry import find
from fluxbooth.prompts import options
from fluxbooth.specs import EnhanceSpec

SKY = Image.new("RGB", (128, 160), "#65B5FF")
REDRAW = cast("Redraw", object())  # of a picture that was drawn; no step here asks it


def test_a_drawn_picture_that_shows_nothing_to_cut_out_stays() -> None:
    work = Work(EnhanceSpec(remove_background=True), 0, find("nano"), redraw=REDRAW)
    image, (step,) = chain.enhance(SKY, work)
    assert image == SKY and step["drawn"] == 0 and "shows no people" in step["why"]
    assert not options.done("remove_background", [step])  # so it costs nothing
    image, (step,) = chain.enhance(SKY, Work(EnhanceSpec(remove_background=True), 0, find("nano")))
    assert image == SKY and step["drawn"] == 0  # one that was given, too


def test_what_the_steps_before_made_of_a_given_picture_is_not_lost_for_nothing_to_cut_out() -> None:
    spec = EnhanceSpec(film_grain=True, remove_background=True)
    image, (grain, cut) = chain.enhance(SKY, Work(spec, 0, find("nano")))
    assert image.mode == "RGB" and grain["step"] == "film_grain"
    assert cut["drawn"] == 0 and "shows no people" in cut["why"]


def test_people_that_are_not_found_are_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "find", lambda *_: [])
    people = [Somebody(REDRAW, "ohwx man"), Somebody(REDRAW, "sks woman")]
    _, (step,) = chain.enhance(SKY, Work(EnhanceSpec(), 0, find("nano"), REDRAW, people))
    assert step["drawn"] == 0 and step["why"].startswith("0 of 2 people were found")


def test_faces_of_people_are_drawn_anew_with_their_own_loras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the larger picture as in the small one, never with those of the picture."""
    asked: list[tuple[Any, float]] = []

    def draw_people(image: Image.Image, people: Any, *_: Any, **how: Any) -> Image.Image:
        asked.append((people, how.get("strength", STRENGTH)))
        return image

    monkeypatch.setattr(heads, "find", lambda *_: [(4.0, 4, 40, 50), (70.0, 4, 110, 50)])
    monkeypatch.setattr(enhance_people, "draw_people", draw_people)
    people = [Somebody(REDRAW, "ohwx man"), Somebody(REDRAW, "sks woman")]
    monkeypatch.setattr(chain, "_enlarged", lambda image, *_: image)  # it takes seconds
    spec = EnhanceSpec(inpaint_faces=True, super_resolution=True)
    _, steps = chain.enhance(SKY, Work(spec, 0, find("nano"), REDRAW, people))
    assert asked == [(people, STRENGTH), (people, INPAINT_STRENGTH)]
    assert [(step["step"], step["drawn"]) for step in steps] == [("people", 2), ("faces", 2)]


def test_a_mask_stays_at_its_place_in_a_larger_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is outside it is put back, what is new beyond the old edges was drawn and stays."""
    monkeypatch.setattr(chain.film, "grain", lambda image, _: Image.new("RGB", image.size, "red"))
    monkeypatch.setattr(Work, "drawing", lambda *_: REDRAW)

    def outpaint(image: Image.Image, *_: Any, **__: Any) -> Image.Image:
        larger = Image.new("RGB", (256, 160))
        larger.paste(image, (128, 0))
        return larger

    monkeypatch.setattr(chain.outpainting, "outpaint", outpaint)
    mask = Image.new("L", SKY.size)
    mask.paste(255, (0, 0, 64, 160))
    spec = EnhanceSpec(
        outpaint="right-center", outpaint_width=256, outpaint_height=160, film_grain=True,
        restore_mask=True,
    )  # fmt: skip
    image, _ = chain.enhance(SKY, Work(spec, 0, find("nano"), REDRAW, mask=mask))
    assert image.getpixel((60, 80)) == (255, 0, 0)  # new
    assert image.getpixel((160, 80)) == (255, 0, 0)  # in the mask
    assert image.getpixel((230, 80)) == SKY.getpixel((0, 0))  # outside it
