"""Generation: prompts and a GenerateSpec in, pictures out, over diffusers' pipelines."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from fluxbooth import base_selection, events
from fluxbooth.events import DrawingReport
from fluxbooth.generation import init_image
from fluxbooth.generation.picture import Picture, Pictures
from fluxbooth.generation.recipe import _recipe, _title
from fluxbooth.generation.sampling import Canvas, batch_size, draw, sizes
from fluxbooth.generation.speedups import drawing
from fluxbooth.lora import file as lora_file
from fluxbooth.lora.inference import Adapter, AdapterCache, apply_loras
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import loader, planner, registry
from fluxbooth.models.family import Conditioning, Family
from fluxbooth.prompts import language, negatives
from fluxbooth.prompts.language import Advice, Prompt
from fluxbooth.specs import GenerateSpec, ResolvedGenerateSpec, lora_and_weight

PLAIN = "picture_of_one_colour"  # code of an advice: the picture is none


def generate(
    prompts: str | Sequence[str],
    spec: GenerateSpec | None = None,
    report: DrawingReport | None = None,
    *,
    folders: Sequence[Path] = (),
    family: Family | None = None,
    cache: AdapterCache | None = None,
) -> Pictures:
    """Pictures of one prompt or of each of several, `spec.num_images` a prompt, in order; without a
    spec, as its defaults say.

    Noise is denoised by Euler steps along the base's velocity, with the schedule of FLUX.1
    (diffusers' `FluxPipeline`, whose very picture it is with `speed="exact"`). Picture number i of
    a prompt takes seed `spec.seed` + i. A size above the base's largest area is drawn at its native
    area in that shape and scaled.

    Args:
        prompts: Texts; each may carry `<lora:NAME_OR_PATH:WEIGHT>` tags.
        spec: How to draw; sizes in pixels.
        report: Called with each event, a dict of `events.py`: the plan (what is given up to fit the
            memory there is), advice (once more before pictures that came out as one colour), then
            the pictures as they are drawn.
        folders: Where a LoRA's NAME is looked up, before $FLUXBOOTH_LORAS.
        family: A base that is in memory already (`models.load`); it is given back without LoRAs.
        cache: The LoRAs and texts that stay in memory beside it.

    Raises:
        InputError: For a text, a LoRA, a picture or a size that will not do, or too little memory;
            before anything is drawn.
    """
    report, spec = report or (lambda event: None), spec or GenerateSpec()
    texts = [prompts] if isinstance(prompts, str) else prompts
    negatives.check_negative(spec.negative_prompt)
    parsed = [(text, language.parse(text)) for text in texts]
    spec = registry.resolve_drawing(base_selection.with_base(spec, texts, folders, family))
    start = init_image.read(spec)
    size, drawn = sizes(spec, registry.find(spec.base), start)
    orders = [_order(text, prompt, spec, folders) for text, prompt in parsed]
    if family is None:
        loader.here(spec.base)  # before a plan is made for weights that are not here
    plan = planner.generation(
        spec, round((drawn[0] * drawn[1]) ** 0.5), there=None if family is None else family.choice
    )
    report(events.plan(plan))
    canvas = Canvas(size, drawn, start.fitted(drawn) if start else None)
    return _generate(orders, spec, family, plan.choice, cache or AdapterCache(), canvas, report)


@dataclass(frozen=True)
class _Order:
    """A prompt as it was given, what it says, and its LoRA files with their weights."""

    text: str
    prompt: Prompt
    loras: list[tuple[Path, float]]


def _order(text: str, prompt: Prompt, spec: GenerateSpec, folders: Sequence[Path]) -> _Order:
    named = [lora_and_weight(lora) for lora in spec.loras] + [
        (tag.name, tag.weight) for tag in prompt.loras
    ]
    loras = [(lora_file.find(name, folders), weight) for name, weight in named]
    for path, _ in loras:  # whether they fit the base is seen when it is here
        lora_file.read(path)
    return _Order(text, prompt, loras)


def _generate(
    orders: Sequence[_Order],
    spec: ResolvedGenerateSpec,
    there: Family | None,
    choice: Choice,
    cache: AdapterCache,
    canvas: Canvas,
    report: DrawingReport,
) -> Pictures:
    family = there or loader.load(spec.base, choice=choice)
    adapters = {path: cache.fetch(path, family) for order in orders for path, _ in order.loras}
    advice = [said for order in orders for said in _advise(order, adapters, family)]
    report({"event": "advice", "advice": advice})
    conditionings = [
        cache.conditioning(language.plain(order.prompt.text), family) for order in orders
    ]
    if there is None:
        family.release_encoders(keep_decoder=True)
    else:
        family.park_encoders()
    family.load_network()
    seeds = _seeds(spec)
    pictures = Pictures()
    for order, conditioning in zip(orders, conditionings, strict=True):
        loras = [(adapters[path], weight) for path, weight in order.loras]
        for batch in _batches(seeds, batch_size(family.row, canvas)):
            images = _denoise(family, conditioning, batch, loras, spec, canvas)
            if advice := _advise_on(images, batch, loras):
                report({"event": "advice", "advice": advice})
            pictures += [
                Picture(
                    image.resize(canvas.size, Image.Resampling.LANCZOS),
                    seed,
                    *canvas.size,
                    order.text,
                    _recipe(order.prompt.text, spec, family.row, seed, canvas, loras),
                )
                for seed, image in zip(batch, images, strict=True)
            ]
            report(
                {
                    "event": "picture",
                    "done": len(pictures),
                    "of": len(orders) * len(seeds),
                    "pictures": pictures[-len(batch) :],
                }
            )
    return pictures


def _seeds(spec: ResolvedGenerateSpec) -> list[int]:
    first = secrets.randbelow(2**32 - spec.num_images) if spec.seed is None else spec.seed
    return [(first + i) % 2**32 for i in range(spec.num_images)]


def _batches(seeds: list[int], size: int) -> list[list[int]]:
    return [seeds[first : first + size] for first in range(0, len(seeds), size)]


def _denoise(
    family: Family,
    conditioning: Conditioning,
    seeds: Sequence[int],
    loras: Sequence[tuple[Adapter, float]],
    spec: ResolvedGenerateSpec,
    canvas: Canvas,
) -> list[Image.Image]:
    """An image a seed, as large as the canvas is drawn."""
    with apply_loras(family, loras), drawing(family, spec.speed, canvas.drawn):
        return draw(
            family, conditioning, seeds, canvas.drawn, spec.steps, spec.guidance, canvas.start
        )


def _advise(order: _Order, adapters: dict[Path, Adapter], family: Family) -> list[Advice]:
    triggers = [trigger for path, _ in order.loras if (trigger := adapters[path].file.trigger)]
    said = language.advise(
        order.text, triggers[0] if triggers else None, family.count_tokens, family.row.text_length
    )
    partly = [_title(path) for path, _ in order.loras if adapters[path].file.left_out]
    message = (
        "{} also holds layers of text encoders, which are not used: its pictures may differ from "
        "those of other programs."
    )
    return said + [Advice("lora_partly_used", message.format(name), 0, 0) for name in partly]


def of_one_colour(image: Image.Image) -> bool:
    """Whether every pixel is the same, as in no picture that a network with sound numbers draws."""
    extrema: Any = image.convert("RGB").getextrema()  # a pair for each channel
    return all(least == most for least, most in extrema)


def _advise_on(
    images: Sequence[Image.Image], seeds: Sequence[int], loras: Sequence[tuple[Adapter, float]]
) -> list[Advice]:
    """What is to be said of images that came out as one colour, if any did."""
    plain = [seed for seed, image in zip(seeds, images, strict=True) if of_one_colour(image)]
    if not plain:
        return []
    which = (
        f"The picture of seed {plain[0]} is"
        if len(plain) == 1
        else f"The pictures of seeds {', '.join(map(str, plain))} are"
    )
    remedy = "draw with its LoRAs at lower weights" if loras else "check the base"
    text = (
        f"{which} of one colour, because numbers grew beyond what the network can hold: {remedy}."
    )
    return [Advice(PLAIN, text, 0, 0)]
