"""Generation: prompts and a GenerateSpec in, pictures out, over diffusers' pipelines."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image, PngImagePlugin

import fluxbooth
from fluxbooth import fitting, lorafile, models, photocheck
from fluxbooth import prompts as language
from fluxbooth.faster import drawing
from fluxbooth.models import Base
from fluxbooth.models.base import Conditioning, Family
from fluxbooth.models.memory import Choice
from fluxbooth.prompts import Advice, Prompt
from fluxbooth.slots import Adapter, Shelf, worn
from fluxbooth.specs import GenerateSpec, lora_and_weight

BATCH = 8  # pictures denoised together at the native area of nano
Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Picture:
    image: Image.Image  # RGB
    seed: int
    width: int
    height: int
    text: str  # the prompt as it was given
    metadata: dict[str, Any] = field(default_factory=dict)  # how it was made, as JSON

    def save(self, path: str | Path) -> None:
        """Writes a PNG that carries its recipe: the `parameters` text that A1111 and Civitai read, and our JSON."""
        info = PngImagePlugin.PngInfo()
        info.add_itxt("parameters", parameters_text(self.metadata))
        info.add_itxt("fluxbooth", json.dumps(self.metadata))
        self.image.save(path, pnginfo=info)


def generate(
    prompts: Sequence[str], spec: GenerateSpec, report: Report | None = None, *, folders: Sequence[Path] = (),
    family: Family | None = None, shelf: Shelf | None = None,
) -> list[Picture]:  # fmt: skip
    """Pictures of each prompt, `spec.num_images` a prompt, in order.

    A prompt may carry `<lora:NAME_OR_PATH:WEIGHT>` tags; a NAME is looked up in `folders`, then in $FLUXBOOTH_LORAS. Picture
    number i takes seed `spec.seed` + i. A size above the base's largest area is drawn at its native area in that shape and
    scaled. `family` is a base that is in memory already, `shelf` the LoRAs beside it; it is given back without any. `report` is called with
    {"event": "picture", "done", "of"} and, before, {"event": "plan", "why", ...} (what is given up to fit the memory there is) and
    {"event": "advice", "advice": [...]}.

    Raises InputError for a text, a LoRA or a size that will not do, before anything is drawn.
    """
    report = report or (lambda event: None)
    language.check_negative(spec.negative_prompt)
    parsed = [language.parse(text) for text in prompts]
    _, drawn = sizes(spec, models.find(spec.base))
    wanted = [_wanted(prompt, spec, folders) for prompt in parsed]
    if family is None:
        models.here(spec.base)  # before a plan is made for weights that are not here
    plan = fitting.generation(spec, round((drawn[0] * drawn[1]) ** 0.5), there=None if family is None else family.choice)
    report({"event": "plan", "why": plan.why, **dataclasses.asdict(plan.choice)})
    return _generate(prompts, parsed, wanted, spec, family, plan.choice, shelf or Shelf(), report)


def _generate(
    texts: Sequence[str], parsed: Sequence[Prompt], wanted: Sequence[list[tuple[Path, float]]], spec: GenerateSpec, there: Family | None,
    choice: Choice, shelf: Shelf, report: Report,
) -> list[Picture]:  # fmt: skip
    family = there or models.load(spec.base, choice=choice)
    row, (size, drawn) = family.row, sizes(spec, family.row)
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
    pictures: list[Picture] = []
    for text, prompt, loras, told in zip(texts, parsed, wanted, conditioning, strict=True):
        chosen = [(adapters[path], weight) for path, weight in loras]
        seeds = [(first_seed + i) % 2**32 for i in range(spec.num_images)]
        for start in range(0, len(seeds), batch_size(row, drawn)):
            chunk = seeds[start : start + batch_size(row, drawn)]
            with worn(family, chosen), drawing(family, spec.speed, drawn):
                images = draw(family, told, chunk, drawn, spec.steps, spec.guidance)
            for seed, image in zip(chunk, images, strict=True):
                recipe = _recipe(prompt.text, spec, row, seed, size, drawn, chosen)
                pictures.append(Picture(image.resize(size, Image.Resampling.LANCZOS), seed, *size, text, recipe))
            report({"event": "picture", "done": len(pictures), "of": len(texts) * spec.num_images})
    return pictures


@torch.no_grad()
def draw(
    family: Family, conditioning: Conditioning, seeds: Sequence[int], size: tuple[int, int], steps: int, guidance: float
) -> list[Image.Image]:
    """Pictures of one text, one a seed, width x height pixels; the very call that plain diffusers would make."""
    arguments = family.pipeline_arguments(conditioning, guidance)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    width, height = size
    return (
        family.pipeline()(
            width=width, height=height, num_inference_steps=steps, num_images_per_prompt=len(seeds), generator=generators, **arguments
        )
        .images
    )  # fmt: skip


def batch_size(row: Base, size: tuple[int, int]) -> int:
    return BATCH if size[0] * size[1] <= 192**2 else 1


def sizes(spec: GenerateSpec, row: Base) -> tuple[tuple[int, int], tuple[int, int]]:
    """(width, height) of the picture asked for, and of the one to draw: smaller where the base cannot draw so large."""
    if spec.width and spec.height:
        asked = spec.width, spec.height
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
        lorafile.read_to_use(path)
    return loras


def _advise(text: str, loras: Sequence[tuple[Path, float]], adapters: dict[Path, Adapter], family: Family) -> list[Advice]:
    triggers = [trigger for path, _ in loras if (trigger := adapters[path].file.trigger)]
    return language.advise(text, triggers[0] if triggers else None, family.count_tokens, family.row.text_length)


def _recipe(
    text: str, spec: GenerateSpec, row: Base, seed: int, size: tuple[int, int], drawn: tuple[int, int],
    loras: Sequence[tuple[Adapter, float]],
) -> dict[str, Any]:  # fmt: skip
    recipe: dict[str, Any] = {
        # of a folder or a file of one's own only its name: a picture is made to be given away
        "version": fluxbooth.__version__, "base": Path(row.name).name, "text": text, "seed": seed, "width": size[0], "height": size[1],
        "steps": spec.steps, "guidance": spec.guidance,
        "loras": [{"name": _title(a.file.path), "weight": w, "sha256": a.file.metadata.get("sshs_model_hash", "")} for a, w in loras],
    }  # fmt: skip
    if row.revision:
        recipe["base_revision"] = row.revision
    if spec.speed != "exact":
        recipe["speed"] = spec.speed
    if drawn != size:
        recipe["drawn_at"] = f"{drawn[0]}x{drawn[1]}"
    return recipe


def _title(path: Path) -> str:
    """What a LoRA file is called: every run's is named ohwx, so its folder says more."""
    return path.parent.name if path.stem == "ohwx" else path.stem


def parameters_text(recipe: dict[str, Any]) -> str:
    """The recipe as A1111 writes it: the prompt, then one line of `Key: value` pairs."""
    tags = "".join(f" <lora:{row['name']}:{row['weight']:g}>" for row in recipe["loras"])
    pairs = {
        "Steps": recipe["steps"], "Sampler": "Euler", "CFG scale": 1, "Distilled CFG Scale": recipe["guidance"],
        "Seed": recipe["seed"], "Size": f"{recipe['width']}x{recipe['height']}", "Model": recipe["base"],
    }  # fmt: skip
    if recipe["loras"]:
        pairs["Lora hashes"] = '"' + ", ".join(f"{row['name']}: {row['sha256'][:12]}" for row in recipe["loras"]) + '"'
    if "drawn_at" in recipe:
        pairs["Drawn at"] = recipe["drawn_at"]
    pairs["Version"] = f"fluxbooth {recipe['version']}"
    return f"{recipe['text']}{tags}\n" + ", ".join(f"{key}: {value}" for key, value in pairs.items())
