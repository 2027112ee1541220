"""Which text is drawn with which LoRAs: the picture itself and, where several people have a LoRA of
their own, each of them after it (`enhance/people.py`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fluxbooth.generation.enhance import people
from fluxbooth.generation.order import Order
from fluxbooth.lora.inference import Adapter
from fluxbooth.models.family import Family
from fluxbooth.photos import faces
from fluxbooth.prompts import language, mask_words
from fluxbooth.prompts.language import Advice

Loras = Sequence[tuple[Adapter, float]]
ALONE = (
    "multi is ignored: it needs two LoRAs of people or more, whose trigger words are in the text."
)


@dataclass(frozen=True)
class Parts:
    """`text` and `loras` are of the picture, `people` of the heads that are drawn anew in it;
    `advice` is what there is to say."""

    text: str
    loras: Loras
    people: tuple[tuple[str, Loras], ...]
    advice: tuple[Advice, ...]

    def texts(self) -> list[str]:
        return [self.text, *(text for text, _ in self.people)]


def of(order: Order, loras: Loras, family: Family | None) -> Parts:
    """Of a prompt whose LoRAs are in memory, as the family is unless nothing is drawn. Two people
    and more are told apart by the trigger words of their LoRAs, whether that is asked for or not,
    where heads can be found."""
    text = language.plain(order.prompt.text)
    if family is None:
        return Parts(text, loras, (), ())
    several = _called(text, loras)
    asked, advice = order.spec.multi or order.spec.use_regional, list[Advice]()
    if asked and len(several) < 2:
        advice.append(Advice("option_ignored", ALONE, 0, 0))
    alone = order.spec.only_upscale or not (order.row.heads or faces.available())
    if len(several) < 2 or alone:
        several = []
    others = [lora for lora in loras if all(lora is not one for _, one in several)]
    triggers = [trigger for trigger, _ in several]
    styled, cut = order.styled(people.scene_text(text, triggers), family)
    rest = _behind(text, triggers)
    drawn = tuple(
        (order.styled(f"{trigger}{rest}", family)[0], [lora, *others]) for trigger, lora in several
    )
    return Parts(styled, others if several else loras, drawn, (*advice, *([cut] if cut else [])))


def _called(text: str, loras: Loras) -> list[tuple[str, tuple[Adapter, float]]]:
    """Trigger words and LoRA of each person, in the order of the text. Words that call one person
    are of one LoRA: of several with the same words, as many count as the text calls."""
    found = list[tuple[int, str, tuple[Adapter, float]]]()
    taken: dict[str, int] = {}
    for lora in loras:
        trigger = lora[0].file.trigger or ""
        if not trigger or mask_words.WORDS.get(trigger.lower().split()[-1]) != mask_words.PERSON:
            continue
        at = text.lower().find(trigger.lower(), taken.get(trigger, 0))
        if at >= 0:
            taken[trigger] = at + len(trigger)
            found.append((at, trigger, lora))
    return [(trigger, lora) for _, trigger, lora in sorted(found, key=lambda one: one[0])]


def _behind(text: str, triggers: Sequence[str]) -> str:
    """What stands behind the last trigger: where they are, and how it looks."""
    ends = [match.end() for one in triggers for match in re.finditer(re.escape(one), text, re.I)]
    rest = text[max(ends, default=0) :].strip(" ,")
    return f", {rest}" if rest else ""
