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
from fluxbooth.generation.recipe import _recipe, _title, parameters_text
from fluxbooth.generation.sampling import Canvas, batch_size, draw, sizes
from fluxbooth.generation.speedups import drawing
from fluxbooth.lora import file as lora_file
from fluxbooth.lora.inference import Adapter, AdapterCache, apply_loras
from fluxbooth.memory.estimate import Choice
from fluxbooth.models import loader, planner, registry
from fluxbooth.models.family import Family
from fluxbooth.prompts import language, negatives
from fluxbooth.prompts.language import Advice, Prompt
from fluxbooth.results import Pictures
from fluxbooth.specs import GenerateSpec, ResolvedGenerateSpec, lora_and_weight

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
    parsed = [language.parse(text) for text in texts]
    spec = registry.resolve_drawing(base_selection.with_base(spec, texts, folders, family))
    start = init_image.read(spec)
    size, drawn = sizes(spec, registry.find(spec.base), start)
    wanted = [_wanted(prompt, spec, folders) for prompt in parsed]
    if family is None:
        loader.here(spec.base)  # before a plan is made for weights that are not here
    plan = planner.generation(
        spec, round((drawn[0] * drawn[1]) ** 0.5), there=None if family is None else family.choice
    )
    report(events.plan(plan))
    canvas = Canvas(size, drawn, start.fitted(drawn) if start else None)
    return _generate(
        texts, parsed, wanted, spec, family, plan.choice, cache or AdapterCache(), canvas, report
    )


def _generate(
    texts: Sequence[str],
    parsed: Sequence[Prompt],
    wanted: Sequence[list[tuple[Path, float]]],
    spec: ResolvedGenerateSpec,
    there: Family | None,
    choice: Choice,
    cache: AdapterCache,
    canvas: Canvas,
    report: DrawingReport,
) -> Pictures:
    family = there or loader.load(spec.base, choice=choice)
    adapters = {path: cache.fetch(path, family) for loras in wanted for path, _ in loras}
    advice = [
        a
        for text, loras in zip(texts, wanted, strict=True)
        for a in _advise(text, loras, adapters, family)
    ]
    report({"event": "advice", "advice": advice})
    conditioning = [cache.conditioning(language.plain(prompt.text), family) for prompt in parsed]
    if there is None:
        family.release_encoders(keep_decoder=True)
    else:
        family.park_encoders()
    family.load_network()
    first_seed = secrets.randbelow(2**32 - spec.num_images) if spec.seed is None else spec.seed
    pictures = Pictures()
    for text, prompt, loras, told in zip(texts, parsed, wanted, conditioning, strict=True):
        chosen = [(adapters[path], weight) for path, weight in loras]
        seeds = [(first_seed + i) % 2**32 for i in range(spec.num_images)]
        together = batch_size(family.row, canvas)
        for first in range(0, len(seeds), together):
            chunk = seeds[first : first + together]
            with apply_loras(family, chosen), drawing(family, spec.speed, canvas.drawn):
                images = draw(
                    family, told, chunk, canvas.drawn, spec.steps, spec.guidance, canvas.start
                )
            if plain := [
                seed for seed, image in zip(chunk, images, strict=True) if of_one_colour(image)
            ]:
                report({"event": "advice", "advice": [_of_plain(plain, chosen)]})
            for seed, image in zip(chunk, images, strict=True):
                recipe = _recipe(prompt.text, spec, family.row, seed, canvas, chosen)
                pictures.append(
                    Picture(
                        image.resize(canvas.size, Image.Resampling.LANCZOS),
                        seed,
                        *canvas.size,
                        text,
                        recipe,
                    )
                )
            report(
                {
                    "event": "picture",
                    "done": len(pictures),
                    "of": len(texts) * spec.num_images,
                    "pictures": pictures[-len(chunk) :],
                }
            )
    return pictures


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


def _advise(
    text: str, loras: Sequence[tuple[Path, float]], adapters: dict[Path, Adapter], family: Family
) -> list[Advice]:
    triggers = [trigger for path, _ in loras if (trigger := adapters[path].file.trigger)]
    said = language.advise(
        text, triggers[0] if triggers else None, family.count_tokens, family.row.text_length
    )
    partly = [_title(path) for path, _ in loras if adapters[path].file.left_out]
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
