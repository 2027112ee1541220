"""Likeness of a picture to its subject, and to its prompt: figures for pictures in nano's drawing
styles.

A reader tells the attributes of a picture (`models/attribute_reader.py`). The subject is what most
of the training photos are read to be; a picture's similarity is the share of identity attributes in
which it agrees. Photographs of real people need a face model instead, which this is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from PIL import Image

from fluxbooth.models.attribute_reader import Reading, load_reader
from fluxbooth.photos import inspection

IDENTITY = ("kind", "hair", "hair_colour", "skin", "glasses", "beard")


class Report(TypedDict):
    """How alike pictures are to a subject, each 0 to 1."""

    photos: float  # the photos themselves, to what most of them show
    samples: dict[str, list[float]]  # by step, in the order of their prompts


def report(photos: Sequence[str | Path], samples: Path, weights: Path) -> Report:
    """How alike the subject of `photos` a training's samples are.

    `samples` is the folder with its `step-STEP-NUMBER.png`, `weights` the reader of its base.
    """
    reader = load_reader(weights)
    readings = reader.read([Image.fromarray(photo.pixels) for photo in inspection.read(photos)])
    subject, by_step = identity_of(readings), dict[str, list[float]]()
    for path in sorted(samples.glob("step-*.png")):
        _, step, _ = path.stem.split("-")
        with Image.open(path) as picture:
            by_step.setdefault(str(int(step)), []).append(
                agreement(reader.read([picture]), [subject])
            )
    return {"photos": agreement(readings, [subject] * len(readings)), "samples": by_step}


def identity_of(readings: Sequence[Reading]) -> Reading:
    """What most of a subject's photos are read to be."""
    return {
        name: Counter(reading[name] for reading in readings).most_common(1)[0][0]
        for name in IDENTITY
    }


def agreement(readings: Sequence[Reading], wanted: Sequence[Mapping[str, str]]) -> float:
    """Share of the wanted attributes that the pictures show, 0 to 1; one row of wishes a
    picture."""
    hits = [
        reading[name] == value
        for reading, wish in zip(readings, wanted, strict=True)
        for name, value in wish.items()
    ]
    return sum(hits) / len(hits)
