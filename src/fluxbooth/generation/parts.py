"""Which text is drawn with which LoRAs: the picture itself and, where several people have a LoRA of
their own, each of them after it (`enhance/people.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fluxbooth.generation.order import Order
from fluxbooth.lora.inference import Adapter
from fluxbooth.models.family import Family
from fluxbooth.photos import faces
from fluxbooth.prompts import language, mask_words, several
from fluxbooth.prompts.language import Advice

Loras = Sequence[tuple[Adapter, float]]
ALONE = (
    "multi is ignored: it needs two LoRAs of people or more, whose trigger words are in the text."
)


@dataclass(frozen=True)
class Parts:
    """`text` and `loras` are of the picture, `people` of the heads that are drawn anew in it;
    `advice` is what there is to say. `unstyled`: nothing of the style that is asked for had room.
    """

    text: str
    loras: Loras
    people: tuple[tuple[str, Loras], ...]
    advice: tuple[Advice, ...]
    unstyled: bool = False

    def texts(self) -> list[str]:
        return [self.text, *(text for text, _ in self.people)]


def of(order: Order, loras: Loras, family: Family | None) -> Parts:
    """Of a prompt whose LoRAs are in memory, as the family is unless nothing is drawn. Two people
    and more are told apart by the trigger words of their LoRAs, whether that is asked for or not,
    where heads can be found."""
    text = language.plain(order.prompt.text)
    if family is None:
        return Parts(text, loras, (), ())
    people = _called(text, loras)
    asked, advice = order.spec.multi or order.spec.use_regional, list[Advice]()
    if asked and len(people) < 2:
        advice.append(Advice("option_left_out", ALONE, 0, 0))
    alone = order.spec.only_upscale or not (order.shown.heads or faces.available())
    if len(people) < 2 or alone:
        people = []
    others = [lora for lora in loras if all(lora is not one for _, one in people)]
    triggers = [trigger for trigger, _ in people]
    scene = several.scene(text, triggers)
    styled, cut = order.styled(scene, family)
    drawn = tuple(
        (order.styled(one.alone, family)[0], [people[one.number][1], *others])
        for one in (several.each(text, triggers) if people else [])
    )
    unstyled = cut is not None and styled == scene
    return Parts(styled, others, drawn, (*advice, *([cut] if cut else [])), unstyled)


def _called(text: str, loras: Loras) -> list[tuple[str, tuple[Adapter, float]]]:
    """Trigger words and LoRA of each person that the text calls. Words that call one person are of
    one LoRA: of several with the same words, as many count as the text calls."""
    known = [(lora[0].file.trigger or "", lora) for lora in loras]
    people = [(trigger, lora) for trigger, lora in known if _of_a_person(trigger)]
    found = several.spans(text, [trigger for trigger, _ in people])
    return [one for one, span in zip(people, found, strict=True) if span]


def _of_a_person(trigger: str) -> bool:
    return mask_words.WORDS.get(trigger.lower().split(" ")[-1]) == mask_words.PERSON
