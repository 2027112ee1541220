"""Generation: prompts and a GenerateSpec in, pictures out, over diffusers' pipelines."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin

import fluxbooth
from fluxbooth import cores, fitting, lorafile, models, negatives, photocheck, results, startpicture
from fluxbooth import prompts as language
from fluxbooth.faster import drawing
from fluxbooth.models import Base, selection
from fluxbooth.models.base import Conditioning, Family
from fluxbooth.models.memory import Choice
from fluxbooth.prompts import Advice, Prompt
from fluxbooth.results import Pictures
from fluxbooth.slots import Adapter, Shelf, worn
from fluxbooth.specs import GenerateSpec, lora_and_weight
from fluxbooth.startpicture import StartPicture

BATCH = 8  # pictures denoised together at the native area of nano
PLAIN = "picture_of_one_colour"  # code of an advice: the picture is none
Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, repr=False)
class Picture:
    """A picture and how it was made.

    Attributes:
        image: RGB, 8 bits a channel, `width` x `height` pixels.
        seed: That it was drawn from; with the same recipe it gives the same picture.
        width: Pixels.
        height: Pixels.
        text: The prompt as it was given.
        metadata: The recipe, as JSON: base, text, seed, size, steps, guidance, LoRAs with weight and hash.
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
        """Writes a PNG that carries its recipe: the `parameters` text that A1111 and Civitai read, and our JSON. OSError if it cannot."""
        info = PngImagePlugin.PngInfo()
        info.add_itxt("parameters", parameters_text(self.metadata))
        info.add_itxt("fluxbooth", json.dumps(self.metadata))
        self.image.save(path, pnginfo=info)


def generate(
    prompts: str | Sequence[str], spec: GenerateSpec | None = None, report: Report | None = None, *, folders: Sequence[Path] = (),
    family: Family | None = None, shelf: Shelf | None = None,
) -> Pictures:  # fmt: skip
    """Pictures of one prompt or of each of several, `spec.num_images` a prompt, in order; without a spec, as its defaults say.

    Noise is denoised by Euler steps along the base's velocity, with the schedule of FLUX.1 (diffusers' `FluxPipeline`, whose very
    picture it is with `speed="exact"`). Picture number i of a prompt takes seed `spec.seed` + i. A size above the base's largest
    area is drawn at its native area in that shape and scaled.

    Args:
        prompts: Texts; each may carry `<lora:NAME_OR_PATH:WEIGHT>` tags.
        spec: How to draw; sizes in pixels.
        report: Called with {"event": "plan", "why", ...} (what is given up to fit the memory there is), {"event": "advice",
            "advice": [...]} (once more before pictures that came out as one colour), then {"event": "picture", "done", "of",
            "pictures": [the Pictures just drawn]} as they are made.
        folders: Where a LoRA's NAME is looked up, before $FLUXBOOTH_LORAS.
        family: A base that is in memory already (`models.load`); it is given back without LoRAs.
        shelf: The LoRAs and texts that stay in memory beside it.

    Raises:
        InputError: For a text, a LoRA, a picture or a size that will not do, or too little memory; before anything is drawn.
    """
    report, spec = report or (lambda event: None), spec or GenerateSpec()
    texts = [prompts] if isinstance(prompts, str) else prompts
    negatives.check_negative(spec.negative_prompt)
    parsed = [language.parse(text) for text in texts]
    spec = selection.with_base(spec, texts, folders, family)
    start = startpicture.read(spec)
    size, drawn = sizes(spec, models.find(spec.base), start)
    wanted = [_wanted(prompt, spec, folders) for prompt in parsed]
    if family is None:
        models.here(spec.base)  # before a plan is made for weights that are not here
    plan = fitting.generation(spec, round((drawn[0] * drawn[1]) ** 0.5), there=None if family is None else family.choice)
    report({"event": "plan", "why": plan.why, **dataclasses.asdict(plan.choice)})
    canvas = Canvas(size, drawn, start.fitted(drawn) if start else None)
    return _generate(texts, parsed, wanted, spec, family, plan.choice, shelf or Shelf(), canvas, report)


def _generate(
    texts: Sequence[str], parsed: Sequence[Prompt], wanted: Sequence[list[tuple[Path, float]]], spec: GenerateSpec, there: Family | None,
    choice: Choice, shelf: Shelf, canvas: Canvas, report: Report,
) -> Pictures:  # fmt: skip
    family = there or models.load(spec.base, choice=choice)
    adapters = {path: shelf.fetch(path, family) for loras in wanted for path, _ in loras}
    advice = [a for text, loras in zip(texts, wanted, strict=True) for a in _advise(text, loras, adapters, family)]
    report({"event": "advice", "advice": advice})
    conditioning = [shelf.conditioning(language.plain(prompt.text), family) for prompt in parsed]
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
            with worn(family, chosen), drawing(family, spec.speed, canvas.drawn):
                images = draw(family, told, chunk, canvas.drawn, spec.steps, spec.guidance, canvas.start)
            if plain := [seed for seed, image in zip(chunk, images, strict=True) if of_one_colour(image)]:
                report({"event": "advice", "advice": [_of_plain(plain, chosen)]})
            for seed, image in zip(chunk, images, strict=True):
                recipe = _recipe(prompt.text, spec, family.row, seed, canvas, chosen)
                pictures.append(Picture(image.resize(canvas.size, Image.Resampling.LANCZOS), seed, *canvas.size, text, recipe))
            report({"event": "picture", "done": len(pictures), "of": len(texts) * spec.num_images, "pictures": pictures[-len(chunk) :]})
    return pictures


@torch.no_grad()
def draw(
    family: Family, conditioning: Conditioning, seeds: Sequence[int], size: tuple[int, int], steps: int, guidance: float,
    start: StartPicture | None = None,
) -> list[Image.Image]:  # fmt: skip
    """Pictures of one text, one a seed, width x height pixels; the very call that plain diffusers would make.

    `start` is of that size; from one, seeds are drawn one by one, for their noise also decides how it is encoded.
    """
    if start and not start.steps(steps):
        return [start.image] * len(seeds)
    given: dict[str, Any] = family.pipeline_arguments(conditioning, guidance)
    if start:
        given |= {"image": start.image, "strength": start.strength} | ({"mask_image": start.mask} if start.mask else {})
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    pipeline = family.pipeline("text" if start is None else "inpaint" if start.mask else "image")
    width, height = size
    # numbers that are none become black; `of_one_colour` finds it
    alone = cores.one_thread() if family.row.small and len(seeds) == 1 else contextlib.nullcontext()
    with alone, np.errstate(invalid="ignore"):
        images = pipeline(
            width=width, height=height, num_inference_steps=steps, num_images_per_prompt=len(seeds), generator=generators, **given
        ).images
    return [start.kept(image) for image in images] if start else images


@dataclass(frozen=True)
class Canvas:
    """`size` is (width, height) of the picture asked for, `drawn` of the one to draw: smaller where the base cannot draw so large."""

    size: tuple[int, int]
    drawn: tuple[int, int]
    start: StartPicture | None = None  # of the size `drawn`


def batch_size(row: Base, canvas: Canvas) -> int:
    """How many pictures are drawn together."""
    return BATCH if canvas.start is None and canvas.drawn[0] * canvas.drawn[1] <= 192**2 else 1


def sizes(spec: GenerateSpec, row: Base, start: StartPicture | None = None) -> tuple[tuple[int, int], tuple[int, int]]:
    """`size` and `drawn` of a canvas. A picture to start from decides the shape if the spec does not."""
    if spec.width and spec.height:
        asked = spec.width, spec.height
    elif start and not spec.aspect_ratio:
        asked = photocheck.bucket(*start.image.size, row.native_area)
    else:
        across, down = map(int, (spec.aspect_ratio or "1:1").split(":"))
        asked = photocheck.bucket(across * 1000, down * 1000, row.native_area)
    if asked[0] * asked[1] <= row.largest_area:
        return asked, asked
    return asked, photocheck.bucket(*asked, row.native_area)


def _wanted(prompt: Prompt, spec: GenerateSpec, folders: Sequence[Path]) -> list[tuple[Path, float]]:
    named = [lora_and_weight(text) for text in spec.loras] + [(tag.name, tag.weight) for tag in prompt.loras]
    loras = [(lorafile.find(name, folders), weight) for name, weight in named]
    for path, _ in loras:  # whether they fit the base is seen when it is here
        lorafile.read(path)
    return loras


def _advise(text: str, loras: Sequence[tuple[Path, float]], adapters: dict[Path, Adapter], family: Family) -> list[Advice]:
    triggers = [trigger for path, _ in loras if (trigger := adapters[path].file.trigger)]
    said = language.advise(text, triggers[0] if triggers else None, family.count_tokens, family.row.text_length)
    partly = [_title(path) for path, _ in loras if adapters[path].file.left_out]
    message = "{} also holds layers of text encoders, which are not used: its pictures may differ from those of other programs."
    return said + [Advice("lora_partly_used", message.format(name), 0, 0) for name in partly]


def of_one_colour(image: Image.Image) -> bool:
    """Whether every pixel is the same, as in no picture that a network with sound numbers draws."""
    return all(least == most for least, most in image.convert("RGB").getextrema())


def _of_plain(seeds: Sequence[int], loras: Sequence[tuple[Adapter, float]]) -> Advice:
    which = f"The picture of seed {seeds[0]} is" if len(seeds) == 1 else f"The pictures of seeds {', '.join(map(str, seeds))} are"
    remedy = "draw with its LoRAs at lower weights" if loras else "check the base"
    return Advice(PLAIN, f"{which} of one colour, because numbers grew beyond what the network can hold: {remedy}.", 0, 0)


def _recipe(text: str, spec: GenerateSpec, row: Base, seed: int, canvas: Canvas, loras: Sequence[tuple[Adapter, float]]) -> dict[str, Any]:
    width, height = canvas.size
    recipe: dict[str, Any] = {
        # of a folder or a file of one's own only its name: a picture is made to be given away
        "version": fluxbooth.__version__, "base": Path(row.name).name, "text": text, "seed": seed, "width": width, "height": height,
        "steps": spec.steps, "guidance": spec.guidance,
        "loras": [{"name": _title(a.file.path), "weight": w, "sha256": a.sha256} for a, w in loras],
    }  # fmt: skip
    if row.revision:
        recipe["base_revision"] = row.revision
    if spec.speed != "exact":
        recipe["speed"] = spec.speed
    if canvas.drawn != canvas.size:
        recipe["drawn_at"] = f"{canvas.drawn[0]}x{canvas.drawn[1]}"
    if canvas.start:
        recipe["input"] = canvas.start.recipe
    return recipe


def _title(path: Path) -> str:
    """What a LoRA file is called: every run's is named ohwx, so its folder says more."""
    return path.parent.name if path.stem == "ohwx" else path.stem


def parameters_text(recipe: dict[str, Any]) -> str:
    """The recipe as A1111 writes it: the prompt, then one line of `Key: value` pairs."""
    loras = [(re.sub(r'[<>:,"\s]+', " ", row["name"]).strip(), row) for row in recipe["loras"]]  # what would end a tag or a pair
    tags = "".join(f" <lora:{name}:{row['weight']:g}>" for name, row in loras)
    pairs = {
        "Steps": recipe["steps"], "Sampler": "Euler", "CFG scale": 1, "Distilled CFG Scale": recipe["guidance"],
        "Seed": recipe["seed"], "Size": f"{recipe['width']}x{recipe['height']}", "Model": _quoted(recipe["base"]),
    }  # fmt: skip
    if loras:
        pairs["Lora hashes"] = '"' + ", ".join(f"{name}: {row['sha256'][:12]}" for name, row in loras) + '"'
    if "input" in recipe:
        pairs["Denoising strength"] = recipe["input"]["strength"]
    if "drawn_at" in recipe:
        pairs["Drawn at"] = recipe["drawn_at"]
    pairs["Version"] = f"fluxbooth {recipe['version']}"
    return f"{recipe['text']}{tags}\n" + ", ".join(f"{key}: {value}" for key, value in pairs.items())


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:"\n]', value) else value
