"""Inspection of one photo: measured here, the faces by the extra `faces`, the rest by Claude where
it may look. Nothing is guessed: what cannot be told is left out."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from fluxbooth.errors import InputError
from fluxbooth.models import registry
from fluxbooth.photos import faces, faults, inspection, variety
from fluxbooth.service.claude import photo_attributes
from fluxbooth.service.errors import Invalid, ServiceError
from fluxbooth.service.settings import Settings
from fluxbooth.types import Json

PEOPLE = {"includes_multiple_people", "full_body_image_or_longshot"}
SHORTEST_LOOK = 0.3  # seconds: Claude is not asked for less


def measured(path: Path, base: str) -> tuple[Json, np.ndarray]:
    """blurry, low_resolution (less than the smallest size that `base` trains at), low_quality
    (either), and the pixels, reduced.

    Raises Invalid for what is no picture; the file is decoded in a process of its own.
    """
    try:
        photo = inspection.read([path], max_pixels=photo_attributes.SENT)[0]
    except InputError as error:
        raise Invalid({"file": [str(error).replace(path.name, "the file")]}) from None
    side = min(registry.find(base).resolutions)
    blurry = faults.sharpness(photo.pixels) < faults.BLURRED
    low = photo.width * photo.height < side * side
    shown = {"name": "", "blurry": blurry, "low_resolution": low, "low_quality": blurry or low}
    return {**shown, "width": photo.width, "height": photo.height}, photo.pixels


def people(pixels: np.ndarray) -> Json:
    """includes_multiple_people and full_body_image_or_longshot by the faces on it; nothing if
    there is none, or no extra to find them."""
    found = faces.find(pixels) if faces.available() else []
    if not found:
        return {}
    return {
        "includes_multiple_people": len(found) > 1,
        "full_body_image_or_longshot": found[0].height < variety.FAR,
    }


def claude_looks(settings: Settings) -> bool:
    """Whether photos are shown to Claude at all."""
    return bool(settings.anthropic_api_key and settings.inspect_model)


def seen(settings: Settings, pixels: np.ndarray, expected: str, until: float) -> Json:
    """What Claude sees before `time.monotonic()` is `until`, else `warnings` that say why it
    saw nothing."""
    left = until - time.monotonic()
    if left < SHORTEST_LOOK:
        return late()
    try:
        return photo_attributes.look(settings, pixels, expected, left)
    except ServiceError as error:
        return {"warnings": [str(error)]}


def late() -> Json:
    return {
        "warnings": ["Claude did not describe the photo in time: what only it can see is left out."]
    }
