"""Held-out people with a LoRA of each, and how much of them pictures show."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from bench import tables
from fluxbooth import TrainSpec, train
from fluxbooth.evaluation import likeness
from fluxbooth.generation.enhance import faces
from fluxbooth.generation.enhance.heads import Box
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.lora.inference import Adapter, AdapterCache
from fluxbooth.models.family import Family
from pretrain.people import Person
from pretrain.subjects import held_out_people, subject

STEPS, GUIDANCE, SIDE = 28, 3.0, 128
LORA_STEPS = 200


def lora(number: int, work: Path) -> Path:
    """Of a held-out person, kept in the folder; trained if it is not there."""
    folder = work / str(number)
    file = folder / "run" / "ohwx.safetensors"
    if file.exists():
        return file
    chosen, rng = subject("people", number), random.Random(f"people {number}")
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for i in range(8):
        chosen.photo(rng).draw(384, 384, rng).save(folder / "photos" / f"{i}.png")
    spec = TrainSpec(
        class_name=chosen.class_name, base="nano", steps=LORA_STEPS, preset="flux-lora-portrait"
    )
    return train(folder / "photos", spec, folder / "run").lora


def drawer(
    family: Family, cache: AdapterCache, loras: Sequence[Path], texts: Sequence[str]
) -> Redraw:
    """Draws the first of the texts, or any other of them."""
    adapters: list[tuple[Adapter, float]] = [(cache.fetch(path, family), 1.0) for path in loras]
    told = {text: cache.conditioning(text, family) for text in texts}
    return Redraw(family, told, texts[0], adapters, STEPS, GUIDANCE)


def identity(who: Person) -> dict[str, str]:
    return {name: getattr(who, name) for name in likeness.IDENTITY}


def right(
    reader: likeness.Reader, picture: Image.Image, box: Box | None, number: int
) -> list[bool]:
    """Which attributes of a held-out person the reader sees in the square around a head; in the
    whole picture without one."""
    crop = picture if box is None else picture.crop(faces.square(box, picture.size))
    (reading,) = reader.read([crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS)])
    return [reading[name] == value for name, value in identity(held_out_people()[number]).items()]


def share(hits: Sequence[bool]) -> float:
    return round(sum(hits) / len(hits), 3)


def shares(hits: Mapping[str, Sequence[bool]], aims: Mapping[str, str]) -> list[list[Any]]:
    """Rows of a table: an arm, the attributes right in it, and what was aimed at."""
    return [
        [f"identity attributes right, {name}", f"{share(each):.0%}", aims.get(name, "")]
        for name, each in hits.items()
    ]


def sheet(rows: Sequence[Sequence[Image.Image]], height: int = 200) -> Image.Image:
    """Pictures of a row side by side, each so many pixels high."""
    lines: list[list[Image.Image]] = [
        [image.resize((round(image.width * height / image.height), height)) for image in row]
        for row in rows
    ]
    width = max(sum(image.width + 4 for image in line) for line in lines)
    whole = Image.new("RGB", (width, len(lines) * (height + 4)), "white")
    for y, line in enumerate(lines):
        x = 0
        for image in line:
            whole.paste(image, (x, y * (height + 4)))
            x += image.width + 4
    return whole


def keep(name: str, rows: list[list[Any]], told: dict[str, Any], by: str) -> None:
    """As a table of bench/results/redraw.json, beside those that are there."""
    found = tables.load("redraw") if (tables.RESULTS / "redraw.json").exists() else {}
    table = {"machine": told, "by": by, "columns": ["what", "figure", "aim"], "rows": rows}
    tables.save("redraw", found | {name: table})
