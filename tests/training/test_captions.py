from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fluxbooth import InputError, TrainSpec
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.models import registry
from fluxbooth.photos import inspection
from fluxbooth.prompts.captions import caption
from fluxbooth.training import captions

SEEN = {
    "kind": "man", "hair": "a bun", "clothes": "overalls", "clothes_colour": "orange",
    "mood": "sad", "background": "purple wall", "position": "left",
}  # fmt: skip


def said(reading: dict[str, str], class_name: str = "man") -> str:
    return caption(captions.worded(reading), class_name)


def test_a_caption_names_what_is_not_the_subject() -> None:
    assert said(SEEN) == (
        "[trigger] wearing orange overalls, sad, on a purple background, on the left"
    )
    other = {"clothes": "hoodie", "background": "beach", "position": "centre"}
    assert said(other) == "[trigger] wearing a hoodie, at the beach"
    assert said({"background": "orange wall"}) == "[trigger], on an orange background"
    assert said({"clothes_colour": "red", "glasses": "none"}) == "[trigger]"
    assert said(SEEN, "dog") == "[trigger], on a purple background, on the left"
    assert said(SEEN, "style") == said(SEEN)


def test_photos_without_a_caption_get_one_where_there_is_a_reader() -> None:
    pictures = inspection.read(PHOTOS)[:3]
    pictures[1] = replace(pictures[1], caption="[trigger] as I say")
    spec = registry.resolve(TrainSpec(class_name="man", base="nano"), 3)
    first, second, third = (photo.caption for photo in captions.written(pictures, spec))
    assert second == "[trigger] as I say"
    # what the demo's first and third photos show (`demo_photos.py`)
    assert first and third and first != third
    assert all(text.startswith("[trigger]") for text in (first, third))
    assert not any(word in first + third for word in ("hair", "glasses", "beard", "skin"))
    plain = spec.model_copy(update={"captioner": "none"})
    assert [photo.caption for photo in captions.written(pictures, plain)] == [
        None, "[trigger] as I say", None,
    ]  # fmt: skip


def test_the_recipe_is_nanos_and_the_class_decides() -> None:
    def recipe(class_name: str, base: str, **given: Any) -> tuple[Any, ...]:
        spec = registry.resolve(TrainSpec(class_name=class_name, base=base, **given), 8)
        return spec.captioner, spec.outside_head, spec.fit_text, spec.settle_steps

    assert recipe("man", "nano") == recipe("young woman", "nano") == ("reader", 0.1, True, 150)
    assert recipe("dog", "nano") == ("reader", 1.0, True, 150)
    assert recipe("man", "flux-dev") == recipe("man", "flux2-klein") == ("none", 1.0, False, None)
    own: dict[str, Any] = {
        "captioner": "none",
        "outside_head": 0.5,
        "fit_text": False,
        "settle_steps": 9,
    }
    assert recipe("dog", "nano", **own) == ("none", 0.5, False, 9)
    assert recipe("dog", "nano", text_length=40)[2] is False
    assert recipe("man", "flux-dev", outside_head=0.1, fit_text=True)[1:3] == (0.1, True)
    with pytest.raises(InputError, match="flux-dev has no reader of its pictures: write captions"):
        recipe("man", "flux-dev", captioner="reader")
