"""Held-out people with a LoRA of each, how much of them pictures show, and how sure that is."""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench import machine, tables
from fluxbooth import GenerateSpec, TrainSpec, train
from fluxbooth.evaluation import likeness
from fluxbooth.generation.enhance import faces
from fluxbooth.generation.enhance.heads import Box
from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.generation.generate import generate
from fluxbooth.generation.picture import Picture
from fluxbooth.lora.inference import Adapter, AdapterCache
from fluxbooth.models import loader
from fluxbooth.models.attribute_reader import load_reader
from fluxbooth.models.family import Family
from pretrain.subjects import held_out_people, subject

STEPS, GUIDANCE = 28, 3.5  # nano's own
SIDE = 128  # pixels of a crop that is read
RESAMPLES = 10_000
Hits = dict[str, dict[Any, list[bool]]]  # by arm and group: which attributes are right


class Studio:
    """nano in memory, its reader, and the LoRAs in a folder."""

    def __init__(self, loras: Path) -> None:
        self.family: Family = loader.load("nano")
        self.cache, self.loras = AdapterCache(), loras
        self.reader = load_reader()

    def draw(self, text: str, people: Sequence[int], **fields: Any) -> Picture:
        """What a user of this text with the LoRAs of these people gets."""
        loras = tuple(str(lora(number, self.loras)) for number in people)
        spec = GenerateSpec(base="nano", loras=loras, **fields)
        return generate(text, spec, family=self.family, cache=self.cache)[0]

    def drawer(self, text: str, people: Sequence[int]) -> Redraw:
        files = [lora(number, self.loras) for number in people]
        return drawer(self.family, self.cache, files, [text])

    def right(
        self, picture: Image.Image, box: Box | None, number: int, boxes: Sequence[Box] = ()
    ) -> list[bool]:
        """Which attributes of a held-out person the reader sees in the square around a head, the
        other `boxes` painted over, for it knows one head at a time; none without a head."""
        who = held_out_people()[number]
        if box is None:
            return [False] * len(likeness.IDENTITY)
        crop = faces.alone(picture, box, boxes)
        (reading,) = self.reader.read([crop.resize((SIDE, SIDE), Image.Resampling.LANCZOS)])
        return [reading[name] == getattr(who, name) for name in likeness.IDENTITY]


def lora(number: int, work: Path) -> Path:
    """Of a held-out person, by the preset that is meant for people, kept in the folder; trained if
    it is not there."""
    folder = work / str(number)
    file = folder / "run" / "ohwx.safetensors"
    if file.exists():
        return file
    chosen, rng = subject("people", number), random.Random(f"people {number}")
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for i in range(8):
        chosen.photo(rng).draw(384, 384, rng).save(folder / "photos" / f"{i}.png")
    spec = TrainSpec(class_name=chosen.class_name, base="nano", preset="flux-lora-portrait")
    return train(folder / "photos", spec, folder / "run").lora


def drawer(
    family: Family, cache: AdapterCache, loras: Sequence[Path], texts: Sequence[str]
) -> Redraw:
    """Draws the first of the texts, or any other of them."""
    adapters: list[tuple[Adapter, float]] = [(cache.fetch(path, family), 1.0) for path in loras]
    told = {text: cache.conditioning(text, family) for text in texts}
    return Redraw(family, told, texts[0], adapters, STEPS, GUIDANCE)


def largest(boxes: Sequence[Box]) -> Box | None:
    return max(boxes, key=lambda box: box[3] - box[1], default=None)


def share(groups: Mapping[Any, Sequence[bool]]) -> float:
    """Of all hits."""
    every = [hit for hits in groups.values() for hit in hits]
    return sum(every) / len(every)


def gained(before: Mapping[Any, Sequence[bool]], after: Mapping[Any, Sequence[bool]]) -> str:
    """Points of share, with the interval that 95% of resamples of the groups lie in."""
    each = [(np.mean(before[group]), np.mean(after[group])) for group in before]
    differences = np.array([then - now for now, then in each])
    low, high = _interval(differences)
    return f"{100 * (share(after) - share(before)):+.0f} ({100 * low:+.0f} to {100 * high:+.0f})"


def told(groups: Mapping[Any, Sequence[bool]]) -> str:
    """A share with its interval, as of `gained`."""
    low, high = _interval(np.array([np.mean(hits) for hits in groups.values() if hits]))
    return f"{share(groups):.0%} ({100 * low:.0f} to {100 * high:.0f})"


def _interval(of_groups: np.ndarray) -> tuple[float, float]:
    """Groups are resampled whole, for what they hold is of the same people."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(of_groups), size=(RESAMPLES, len(of_groups)))
    low, high = np.percentile(of_groups[chosen].mean(1), [2.5, 97.5])
    return float(low), float(high)


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


def parser(part: str, text: str | None) -> argparse.ArgumentParser:
    """What each part that draws held-out people is asked."""
    made = argparse.ArgumentParser(prog=f"python -m bench.enhance {part}", description=text)
    made.add_argument("--loras", type=Path, required=True, help="folder; trained once, kept there")
    made.add_argument("--sheet", type=Path, required=True, help="picture to look at")
    made.add_argument("--save", action="store_true", help="in bench/results/redraw.json")
    return made


def machine_told() -> dict[str, Any]:
    """Of one thread."""
    torch.set_num_threads(1)
    return machine.described(1)


def keep(
    name: str,
    rows: list[list[Any]],
    told: dict[str, Any],
    by: str,
    columns: Sequence[str] = ("what", "figure", "aim"),
) -> None:
    """As a table of bench/results/redraw.json, beside those that are there."""
    found = tables.load("redraw") if (tables.RESULTS / "redraw.json").exists() else {}
    table = {"machine": told, "by": by, "columns": [*columns], "rows": rows}
    tables.save("redraw", found | {name: table})
