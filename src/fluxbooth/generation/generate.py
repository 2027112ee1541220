"""Generation: prompts and a GenerateSpec in, pictures out, over diffusers' pipelines."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from fluxbooth import base_selection, events
from fluxbooth.errors import InputError
from fluxbooth.events import DrawingReport
from fluxbooth.generation import order as generation_order
from fluxbooth.generation import parts as generation_parts
from fluxbooth.generation.enhance import chain, upscaling
from fluxbooth.generation.enhance.chain import Work
from fluxbooth.generation.enhance.people import Somebody
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.generation.order import Order
from fluxbooth.generation.parts import Loras, Parts
from fluxbooth.generation.picture import Picture, Pictures
from fluxbooth.generation.recipe import _recipe, _title
from fluxbooth.generation.sampling import batch_size, draw
from fluxbooth.generation.speedups import drawing
from fluxbooth.lora.inference import Adapter, AdapterCache, Branches
from fluxbooth.models import loader, out_of_memory, planner, registry
from fluxbooth.models.family import Conditioning, Family
from fluxbooth.photos import inspection
from fluxbooth.prompts import language, negatives, options
from fluxbooth.prompts.language import Advice
from fluxbooth.specs import GenerateSpec
from fluxbooth.types import Json

PLAIN = "picture_of_one_colour"  # code of an advice: the picture is none
FLATTENED = (
    "What is transparent in the input image becomes white, for the picture is drawn anew: only a "
    "picture of which nothing is drawn keeps its transparency."
)
FLAT = "transparency_lost"
SKIPPED = "picture_left_out"  # one of several that will not do
OUT_OF_MEMORY = "gpu_memory_ran_out"  # and more was given up, so that it was drawn all the same
LEFT_OUT = "option_left_out"  # a step of the picture did less than was asked for
# codes of what only the base, the LoRA files and the picture tell
WHILE_DRAWN = ("too_long", "style_cut", "lora_partly_used", LEFT_OUT, FLAT, OUT_OF_MEMORY)


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

    Noise is denoised by Euler steps along the base's velocity, with the schedule of its family
    (diffusers' `FluxPipeline` or `Flux2KleinPipeline`, whose very picture it is with
    `speed="exact"`). Picture number i of a prompt takes seed `spec.seed` + i. A size above the
    base's largest area is drawn at its native area in that shape and scaled.

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
    for text in texts:  # before a base is looked for
        spec.with_flags(text).check_start()
        language.parse(text, may_be_blank=spec.input_image is not None)
    spec = base_selection.with_base(spec, texts, folders, family)
    orders = [generation_order.read(text, spec, folders) for text in texts]
    return _generate(orders, family, cache or AdapterCache(), report)


def enhance(
    pictures: str | Path | Sequence[str | Path],
    spec: GenerateSpec,
    report: DrawingReport | None = None,
    *,
    text: str = "",
    folders: Sequence[Path] = (),
    family: Family | None = None,
    cache: AdapterCache | None = None,
) -> Pictures:
    """Pictures of any kind with what the options of the spec ask for: larger, without a background,
    in the colours of a film. Where a mask or a denoising strength is asked for, that part or all of
    it is drawn anew as the text says; else the text and the LoRAs are for the steps that draw
    details anew.

    Args:
        pictures: Files, or a folder of them.
        spec: What to do; its sizes count for nothing.
        text: What the pictures show; may be blank.

    The others, the events and what is raised are as of `generate`.
    """
    report = report or (lambda event: None)
    specs = [_on(str(path), spec, text) for path in inspection.find(pictures)]
    if options.draws(options.left_of(specs[0].asked())):
        specs = [base_selection.with_base(one, [text], folders, family) for one in specs]
    else:
        specs = [one.model_copy(update={"base": _base_of(one)}) for one in specs]
    orders = _readable(text, specs, folders, report)
    return _generate(orders, family, cache or AdapterCache(), report)


def _readable(
    text: str, specs: Sequence[GenerateSpec], folders: Sequence[Path], report: DrawingReport
) -> list[Order]:
    """The orders of those pictures that will do; of the others is said why they are left out.
    Raises InputError where none will do."""
    orders, wrong = list[Order](), list[InputError]()
    for spec in specs:
        try:
            orders.append(generation_order.read(text, spec, folders))
        except InputError as error:
            wrong.append(error)
    if not orders:
        raise wrong[0]
    if wrong:
        left_out = [Advice(SKIPPED, f"Left out: {error}", 0, 0) for error in wrong]
        report({"event": "advice", "advice": left_out})
    return orders


def _on(path: str, spec: GenerateSpec, text: str) -> GenerateSpec:
    """With the flags of the text, for a picture that stays as it is but for a mask."""
    told = GenerateSpec.read(spec.model_dump() | {"input_image": path}).with_flags(text)
    if told.mask_prompt or told.mask_image or told.denoising_strength is not None:
        return told
    return told.model_copy(update={"denoising_strength": 0.0})


def _base_of(spec: GenerateSpec) -> str:
    """Of a picture that is only looked at; it is not loaded."""
    return registry.drawn_by(spec.input_image or "").name if spec.base == "auto" else spec.base


def _generate(
    orders: Sequence[Order], there: Family | None, cache: AdapterCache, report: DrawingReport
) -> Pictures:
    """Loads the base where one is needed and not `there`."""
    family = _base(orders, there, report) if any(one.needs_base for one in orders) else None
    loras = [_loras(one, family, cache) for one in orders]
    parts = [generation_parts.of(one, its, family) for one, its in zip(orders, loras, strict=True)]
    advice = [
        said
        for one, its, part in zip(orders, loras, parts, strict=True)
        for said in _advise(one, its, part, family)
    ]
    report({"event": "advice", "advice": advice})
    texts = _encoded(orders, parts, family, cache, stays=there is not None)
    seeds = _seeds(orders)
    pictures = Pictures()
    for one, its, part in zip(orders, loras, parts, strict=True):
        branches = None if family is None else Branches(family, part.loras)
        for batch in _batches(seeds[: one.spec.num_images], batch_size(one.row, one.canvas)):
            images = _drawn(one, part, family, branches, texts, batch, report)
            if advice := _advise_on(images, batch, its) if one.draws else []:
                report({"event": "advice", "advice": advice})
            for seed, image in zip(batch, images, strict=True):
                row = family.row if family else one.row  # that of weights in memory knows more
                recipe = _recipe(one.prompt.text, one.spec, row, seed, one.canvas, its)
                image, steps = _finished(one, part, image, family, texts, seed, report)
                if advice := [Advice(LEFT_OUT, one["why"], 0, 0) for one in steps if "why" in one]:
                    report({"event": "advice", "advice": advice})
                if part.unstyled:  # so that it is not paid
                    steps.append({"step": "style", "drawn": 0})
                if steps:
                    recipe |= {"enhanced": steps, "width": image.width, "height": image.height}
                given = Path(one.spec.input_image) if one.spec.input_image else None
                pictures.append(Picture(image, seed, *image.size, one.text, recipe, given))
            report(
                {
                    "event": "picture",
                    "done": len(pictures),
                    "of": sum(one.spec.num_images for one in orders),
                    "pictures": pictures[-len(batch) :],
                }
            )
    return pictures


def _base(orders: Sequence[Order], there: Family | None, report: DrawingReport) -> Family:
    spec = orders[0].spec
    if there is None:
        loader.here(spec.base)  # before a plan is made for weights that are not here
    side = max(round(one.largest_piece**0.5) for one in orders)
    loras = max(sum(path.stat().st_size for path, _ in one.loras) for one in orders)
    choice = None if there is None else there.choice
    plan = planner.generation(spec, side, there=choice, loras=loras)
    report(events.plan(plan))
    return there or loader.load(spec.base, choice=plan.choice)


def _loras(one: Order, family: Family | None, cache: AdapterCache) -> Loras:
    """None where nothing is drawn."""
    if family is None:
        return []
    return [(cache.fetch(path, family), weight) for path, weight in one.loras]


def _encoded(
    orders: Sequence[Order],
    parts: Sequence[Parts],
    family: Family | None,
    cache: AdapterCache,
    *,
    stays: bool,
) -> dict[str, Conditioning]:
    """What the encoders say of every text that may be drawn; then they may leave, unless the base
    `stays` in memory."""
    if family is None:
        return {}
    words = {text for part in parts for text in part.texts()}
    words |= {one.spec.outpaint_prompt for one in orders if one.spec.outpaint_prompt}
    texts = {text: cache.conditioning(text, family) for text in words}
    if stays:
        family.park_encoders()
    else:
        family.release_encoders(keep_decoder=True)
    family.load_network()
    return texts


def _seeds(orders: Sequence[Order]) -> list[int]:
    """Of the pictures of each order: of one that makes fewer, the first."""
    most, seed = max(one.spec.num_images for one in orders), orders[0].spec.seed
    first = secrets.randbelow(2**32 - most) if seed is None else seed
    return [(first + i) % 2**32 for i in range(most)]


def _batches(seeds: list[int], size: int) -> list[list[int]]:
    return [seeds[first : first + size] for first in range(0, len(seeds), size)]


def _drawn(
    one: Order,
    part: Parts,
    family: Family | None,
    branches: Branches | None,
    texts: dict[str, Conditioning],
    seeds: Sequence[int],
    report: DrawingReport,
) -> list[Image.Image]:
    """An image a seed before the steps that follow, or the given one where nothing is drawn."""
    canvas, spec = one.canvas, one.spec
    if family is None or branches is None or not one.draws:
        assert canvas.start is not None  # or it would be drawn
        return [canvas.start.image] * len(seeds)
    told = texts[part.text]

    def work() -> list[Image.Image]:
        with branches.applied(), drawing(family, spec.speed, canvas.drawn):
            return draw(
                family,
                told,
                seeds,
                canvas.drawn,
                spec.steps,
                spec.guidance,
                canvas.start,
                canvas.references,
            )

    return out_of_memory.retried(family, work, partial(_say, report), training=False)


def _say(report: DrawingReport, text: str) -> None:
    report({"event": "advice", "advice": [Advice(OUT_OF_MEMORY, text, 0, 0)]})


def _finished(
    one: Order,
    part: Parts,
    image: Image.Image,
    family: Family | None,
    texts: dict[str, Conditioning],
    seed: int,
    report: DrawingReport,
) -> tuple[Image.Image, list[Json]]:
    """The picture after the steps that follow, and what these used."""
    image = image.resize(one.canvas.size, Image.Resampling.LANCZOS)
    mask = one.canvas.start.mask if one.canvas.start else None
    alpha = one.canvas.start.alpha if one.canvas.start else None
    work = Work(one.spec, seed, one.row, shown=one.shown, mask=mask, alpha=alpha, report=report)
    if family is not None:
        redraw = Redraw(
            family,
            texts,
            part.text,
            part.loras,
            one.spec.steps,
            one.spec.guidance,
            [reference.image for reference in one.canvas.references],
        )
        people = [Somebody(redraw.with_loras(loras), text) for text, loras in part.people]
        work = replace(work, redraw=redraw, people=people)
        return out_of_memory.retried(
            family,
            lambda: chain.enhance(image, work),
            partial(_say, report),
            training=False,
        )
    return chain.enhance(image, work)


def _advise(one: Order, loras: Loras, part: Parts, family: Family | None) -> list[Advice]:
    said = list(one.advice)
    if one.canvas.start and one.canvas.start.flattened:
        said.append(Advice(FLAT, FLATTENED, 0, 0))
    if family is None:
        return said + _advise_patience(one)
    triggers = [trigger for adapter, _ in loras if (trigger := adapter.file.trigger)]
    said += language.advise(
        one.text, triggers[0] if triggers else None, family.count_tokens, one.row.text_length
    )
    said += part.advice
    partly = [_title(adapter.file.path) for adapter, _ in loras if adapter.file.left_out]
    message = (
        "{} also holds layers of text encoders, which are not used: its pictures may differ from "
        "those of other programs."
    )
    return said + [Advice("lora_partly_used", message.format(name), 0, 0) for name in partly]


def _advise_patience(one: Order) -> list[Advice]:
    width, height = one.canvas.size
    device = "cuda" if torch.cuda.is_available() else "cpu"
    minutes = upscaling.minutes(width, height, device)
    if one.spec.enlargement((width, height), one.row.native_area) <= 1 or not minutes:
        return []
    text = (
        f"Enlarging {width} x {height} pixels takes about {minutes} min on one thread of this "
        "processor, less on free cores."
    )
    return [Advice("takes_minutes", text, 0, 0)]


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
