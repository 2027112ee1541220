"""Which text is drawn with which LoRAs, where several people have one of their own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from fluxbooth.generation import order, parts
from fluxbooth.lora.inference import Adapter
from fluxbooth.models.family import Family
from fluxbooth.specs import GenerateSpec

FAMILY = cast("Family", object())  # nothing here asks it


def lora(trigger: str) -> tuple[Adapter, float]:
    return cast("Adapter", SimpleNamespace(file=SimpleNamespace(trigger=trigger))), 1.0


MAN, WOMAN, FILM = lora("ohwx man"), lora("ohwx woman"), lora("ohwx style")


def of(text: str, loras: list[tuple[Adapter, float]], **fields: Any) -> parts.Parts:
    return parts.of(order.read(text, GenerateSpec(base="nano", **fields), []), loras, FAMILY)


def test_each_person_is_drawn_with_their_own_lora_where_the_text_has_them() -> None:
    told = of("ohwx style, ohwx man on the right, ohwx woman on the left", [MAN, FILM, WOMAN])
    assert told.text == "two people, ohwx style, man on the right, woman on the left"
    assert list(told.loras) == [FILM]
    assert [list(loras) for _, loras in told.people] == [[WOMAN, FILM], [MAN, FILM]]
    assert told.people[0][0].startswith("ohwx style, ohwx woman")


def test_one_person_is_drawn_as_ever() -> None:
    told = of("ohwx man and a dog", [MAN, WOMAN])
    assert told == parts.Parts("ohwx man and a dog", [MAN, WOMAN], (), ())


def test_multi_with_one_person_is_advised_against() -> None:
    (advice,) = of("ohwx man", [MAN], multi=True).advice
    assert advice.message == parts.ALONE


def test_a_style_of_which_nothing_has_room_is_told_apart() -> None:
    counts = [
        SimpleNamespace(count_tokens=lambda text, n=n: n * len(text.split())) for n in (1, 90)
    ]
    read = order.read("a man", GenerateSpec(base="nano", style="Cinematic"), [])
    whole, nothing = (parts.of(read, [], cast("Family", family)) for family in counts)
    assert not whole.unstyled and whole.text.startswith("Film still of a man")
    assert nothing.unstyled and nothing.text == "a man"
