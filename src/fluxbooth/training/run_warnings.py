"""Warnings of a training: on photos and captions when it begins, on its loss when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fluxbooth.photos import inspection
from fluxbooth.photos.inspection import Photo
from fluxbooth.specs import TrainSpec

FEWEST_LOSSES = 10  # of fewer steps, each with its own noise, nothing can be said
# one step's loss varies by a half; the mean of several that is so many times what it was has
# diverged
WORSE = 3.0


def of_photos(
    named: str | Path | Sequence[str | Path], photos: Sequence[Photo], spec: TrainSpec
) -> list[str]:
    """Sentences on what lies beside the photos and is not used, and on captions without the
    trigger words."""
    return list(map(_sentence, inspection.advice_for_training(named, photos, spec.trigger)))


def of_losses(losses: Sequence[float], spec: TrainSpec) -> list[str]:
    """A sentence if the loss (one figure a step, from the first on) ends far above where it
    began."""
    if len(losses) < FEWEST_LOSSES:
        return []
    part = max(FEWEST_LOSSES // 2, len(losses) // 10)
    began, ended = sum(losses[:part]) / part, sum(losses[-part:]) / part
    if ended < WORSE * began:
        return []
    remedy = (
        f"train again at a lower learning rate than {spec.learning_rate:g}"
        if spec.learning_rate
        else "lower the learning rate"
    )
    return [
        (
            f"The loss diverged, from {began:.3g} to {ended:.3g}, so the LoRA draws noise or "
            f"worse: {remedy}."
        )
    ]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
