"""Generation: prompts and a GenerateSpec in, pictures out, over diffusers' pipelines."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from fluxbooth import base_selection, events, picture_files, results
from fluxbooth.events import DrawingReport
from fluxbooth.generation import init_image
from fluxbooth.generation.enhance import chain
from fluxbooth.generation.enhance.chain import Work
from fluxbooth.generation.recipe import _recipe, _title, parameters_text
from fluxbooth.generation.sampling import Canvas, batch_size, draw, sizes
from fluxbooth.generation.speedups import drawing
from fluxbooth.lora import file as lora_file
from fluxbooth.lora.inference import Adapter, AdapterCache, apply_loras
from fluxbooth.models import loader, planner, registry
from fluxbooth.models.base import Base
from fluxbooth.models.family import Conditioning, Family
from fluxbooth.photos import inspection
from fluxbooth.prompts import language, looks, negatives, options
from fluxbooth.prompts.language import Advice, Prompt
from fluxbooth.results import Pictures
from fluxbooth.specs import GenerateSpec, ResolvedGenerateSpec, lora_and_weight

PHOTOGRAPHIC = "flux-dev"
PLAIN = "picture_of_one_colour"  # code of an advice: the picture is none


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture and how it was made.

    Attributes:
        image: RGB, 8 bits a channel, `width` x `height` pixels.
        seed: That it was drawn from; with the same recipe it gives the same picture.
        width: Pixels.
        height: Pixels.
        text: The prompt as it was given.
        metadata: The recipe, as JSON: base, text, seed, size, steps, guidance, LoRAs with weight
            and hash.
    """

    image: Image.Image
    seed: int
    width: int
    height: int
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Picture {self.width} x {self.height}, seed {self.seed}: {self.text}>"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return results.png(self.image)

    def save(self, path: str | Path) -> None:
        """Writes a picture that says that it was made with AI; a PNG also carries its recipe:
        the `parameters` text that A1111 and Civitai read, and our JSON. OSError if it cannot."""
        texts = {
            "parameters": parameters_text(self.metadata),
            "fluxbooth": json.dumps(self.metadata),
        }
        picture_files.save(self.image, path, picture_files.source_of(self.metadata), texts=texts)


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
    for text in texts:
        language.parse(text, may_be_blank=spec.input_image is not None)
    spec = base_selection.with_base(spec, texts, folders, family)
    asked = [_ask(text, spec, folders) for text in texts]
    return _made(asked, family, cache or AdapterCache(), report)


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
    in the colours of a film. Where a mask is asked for, that part is drawn anew as the text says;
    else the text and the LoRAs are for the steps that draw details anew.

    Args:
        pictures: Files, or a folder of them.
        spec: What to do; its sizes count for nothing.
        text: What the pictures show; may be blank.

    The others, the events and what is raised are as of `generate`.
    """
    report = report or (lambda event: None)
    masked = bool(spec.mask_prompt or spec.mask_image)
    how = {} if masked else {"denoising_strength": 0.0}
    specs = [
        GenerateSpec.read(spec.model_dump() | {"input_image": str(path), **how})
        for path in inspection.find(pictures)
    ]
    if masked or options.draws(spec.enhancements()):
        specs = [base_selection.with_base(one, [text], folders, family) for one in specs]
    else:
        specs = [one.model_copy(update={"base": _base_of(one)}) for one in specs]
    asked = [_ask(text, one, folders) for one in specs]
    return _made(asked, family, cache or AdapterCache(), report)


def _base_of(spec: GenerateSpec) -> str:
    """Of a picture that is only looked at: the base that drew it, if its file says so, else one
    whose pictures look like photographs. It is not loaded."""
    if spec.base != "auto":
        return spec.base
    with Image.open(spec.input_image or "") as image:
        told = image.info.get("fluxbooth", "{}")
    try:
        name = json.loads(told).get("base")
    except (ValueError, AttributeError):
        name = None
    return name if name in registry.BASES else PHOTOGRAPHIC


def _made(
    asked: Sequence[_Asked], family: Family | None, cache: AdapterCache, report: DrawingReport
) -> Pictures:
    """Loads the base where it is needed and not here."""
    if not any(one.needs_base for one in asked):
        return _generate(asked, None, cache, report)
    spec = asked[0].spec
    if family is None:
        loader.here(spec.base)  # before a plan is made for weights that are not here
    side = max(round((one.canvas.drawn[0] * one.canvas.drawn[1]) ** 0.5) for one in asked)
    plan = planner.generation(spec, side, there=None if family is None else family.choice)
    report(events.plan(plan))
    used = family or loader.load(spec.base, choice=plan.choice)
    return _generate(asked, used, cache, report, stays=family is not None)


@dataclass(frozen=True)
class _Asked:
    """One text, and what it is drawn with: its flags are in the spec."""

    text: str
    prompt: Prompt
    spec: ResolvedGenerateSpec
    loras: list[tuple[Path, float]]
    canvas: Canvas

    @property
    def row(self) -> Base:
        return registry.find(self.spec.base)

    def words(self, family: Family) -> tuple[str, Advice | None]:
        """What the encoders read, and what of its style had no room."""
        text = language.plain(self.prompt.text)
        if not self.spec.style or not text:
            return text, None
        return looks.styled(text, self.spec.style, family.count_tokens, self.row.text_length)

    @property
    def draws(self) -> bool:
        """Whether anything is drawn before the steps that follow."""
        start = self.canvas.start
        return start is None or start.steps(self.spec.steps) > 0

    @property
    def needs_base(self) -> bool:
        return self.draws or options.draws(self.spec.enhancements())


def _ask(text: str, spec: GenerateSpec, folders: Sequence[Path]) -> _Asked:
    """Raises InputError for what will not do."""
    prompt = language.parse(text, may_be_blank=spec.input_image is not None)
    told = registry.resolve_drawing(spec.with_flags(text))
    start = init_image.read(told)
    size, drawn = sizes(told, registry.find(told.base), start)
    canvas = Canvas(size, drawn, start.fitted(drawn) if start else None)
    return _Asked(text, prompt, told, _wanted(prompt, told, folders), canvas)


def _generate(
    asked: Sequence[_Asked],
    family: Family | None,
    cache: AdapterCache,
    report: DrawingReport,
    *,
    stays: bool = False,
) -> Pictures:
    """Without a family where none is needed; `stays`: it is not ours to empty."""
    adapters = _adapters(asked, family, cache)
    report(
        {"event": "advice", "advice": [a for one in asked for a in _advise(one, adapters, family)]}
    )
    texts = _encoded(asked, family, cache, stays=stays)
    first_seed, pictures = _first_seed(asked[0].spec), Pictures()
    for one in asked:
        seeds = [(first_seed + i) % 2**32 for i in range(one.spec.num_images)]
        together = batch_size(one.row, one.canvas)
        for first in range(0, len(seeds), together):
            chunk = seeds[first : first + together]
            chosen = [(adapters[path], weight) for path, weight in one.loras if path in adapters]
            images = _drawn(one, family, texts, chosen, chunk, report)
            done = [
                _finished(one, image, seed, chosen)
                for image, seed in zip(images, chunk, strict=True)
            ]
            pictures.extend(done)
            report(
                {
                    "event": "picture",
                    "done": len(pictures),
                    "of": sum(other.spec.num_images for other in asked),
                    "pictures": done,
                }
            )
    return pictures


def _adapters(
    asked: Sequence[_Asked], family: Family | None, cache: AdapterCache
) -> dict[Path, Adapter]:
    if family is None:
        return {}
    return {path: cache.fetch(path, family) for one in asked for path, _ in one.loras}


def _encoded(
    asked: Sequence[_Asked], family: Family | None, cache: AdapterCache, *, stays: bool
) -> dict[str, Conditioning]:
    """What the encoders say of every text that may be drawn; then they may leave."""
    if family is None:
        return {}
    words = {one.words(family)[0] for one in asked}
    texts = {text: cache.conditioning(text, family) for text in words}
    if stays:
        family.park_encoders()
    else:
        family.release_encoders(keep_decoder=True)
    family.load_network()
    return texts


def _first_seed(spec: GenerateSpec) -> int:
    return secrets.randbelow(2**32 - spec.num_images) if spec.seed is None else spec.seed


def _drawn(
    one: _Asked,
    family: Family | None,
    texts: dict[str, Conditioning],
    loras: Sequence[tuple[Adapter, float]],
    seeds: Sequence[int],
    report: DrawingReport,
) -> list[Image.Image]:
    """The pictures before the steps that follow; the given one where nothing is drawn."""
    canvas, spec = one.canvas, one.spec
    if family is None or not one.draws:
        assert canvas.start is not None  # or it would be drawn
        return [canvas.start.image] * len(seeds)
    with apply_loras(family, loras), drawing(family, spec.speed, canvas.drawn):
        images = draw(
            family,
            texts[one.words(family)[0]],
            seeds,
            canvas.drawn,
            spec.steps,
            spec.guidance,
            canvas.start,
        )
    pairs = zip(seeds, images, strict=True)
    if plain := [seed for seed, image in pairs if of_one_colour(image)]:
        report({"event": "advice", "advice": [_of_plain(plain, loras)]})
    return [image.resize(canvas.size, Image.Resampling.LANCZOS) for image in images]


def _finished(
    one: _Asked, image: Image.Image, seed: int, loras: Sequence[tuple[Adapter, float]]
) -> Picture:
    recipe = _recipe(one.prompt.text, one.spec, one.row, seed, one.canvas, loras)
    image, steps = chain.enhance(image, Work(one.spec, seed, one.row))
    if steps:
        recipe |= {"enhanced": steps, "width": image.width, "height": image.height}
    return Picture(image, seed, *image.size, one.text, recipe)


def _wanted(
    prompt: Prompt, spec: GenerateSpec, folders: Sequence[Path]
) -> list[tuple[Path, float]]:
    named = [lora_and_weight(text) for text in spec.loras] + [
        (tag.name, tag.weight) for tag in prompt.loras
    ]
    loras = [(lora_file.find(name, folders), weight) for name, weight in named]
    for path, _ in loras:  # whether they fit the base is seen when it is here
        lora_file.read(path)
    return loras


def _advise(one: _Asked, adapters: dict[Path, Adapter], family: Family | None) -> list[Advice]:
    left_out = options.ignored(one.spec.asked() | options.given(one.text)).values()
    ignored = [Advice("option_ignored", sentence, 0, 0) for sentence in left_out]
    if family is None:
        return ignored
    triggers = [trigger for path, _ in one.loras if (trigger := adapters[path].file.trigger)]
    said = ignored + language.advise(
        one.text, triggers[0] if triggers else None, family.count_tokens, one.row.text_length
    )
    if cut := one.words(family)[1]:
        said.append(cut)
    partly = [_title(path) for path, _ in one.loras if adapters[path].file.left_out]
    message = (
        "{} also holds layers of text encoders, which are not used: its pictures may differ from "
        "those of other programs."
    )
    return said + [Advice("lora_partly_used", message.format(name), 0, 0) for name in partly]


def of_one_colour(image: Image.Image) -> bool:
    """Whether every pixel is the same, as in no picture that a network with sound numbers draws."""
    extrema: Any = image.convert("RGB").getextrema()  # a pair for each channel
    return all(least == most for least, most in extrema)


def _of_plain(seeds: Sequence[int], loras: Sequence[tuple[Adapter, float]]) -> Advice:
    which = (
        f"The picture of seed {seeds[0]} is"
        if len(seeds) == 1
        else f"The pictures of seeds {', '.join(map(str, seeds))} are"
    )
    remedy = "draw with its LoRAs at lower weights" if loras else "check the base"
    return Advice(
        PLAIN,
        f"{which} of one colour, because numbers grew beyond what the network can hold: {remedy}.",
        0,
        0,
    )
