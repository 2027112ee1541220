"""How like its photos a subject is in a picture, whichever base drew it: what measures it depends
on the pictures, and on what is installed.

| pictures | measure | says |
|---|---|---|
| of a base that has an identity embedding, with heads | the embedding | a percentage |
| photographs in most of which a face is found | dlib's face numbers | the same person or not |
| all others | general features | a number to compare with others |

A percentage is claimed only where one was measured; `calibrated` makes one of a user's own photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from fluxbooth.errors import InputError
from fluxbooth.evaluation import face_identity, features
from fluxbooth.evaluation.identity import Identity, load_identity
from fluxbooth.generation.enhance.heads import load_finder
from fluxbooth.models.base import Base
from fluxbooth.types import Json

Pictures = Sequence[Image.Image]


@dataclass(frozen=True)
class Measure:
    """`subject` makes one of the photos of a subject, `similarity` compares a picture with it (None
    where it cannot be told); more is liker."""

    by: str  # "embedding", "face", "DINOv2" or "EfficientNet-lite0"
    subject: Callable[[Pictures], Any]
    similarity: Callable[[Image.Image, Any], float | None]
    # that a picture of such similarity shows the subject, and from where it is called the same;
    # None where nobody measured that
    probability: Callable[[float], float] | None = None
    same: float | None = None


def measure_for(base: Base, photos: Pictures) -> Measure:
    """What can compare pictures of this base with these photos. Raises InputError if nothing here
    can."""
    if base.identity is not None and base.heads is not None:
        finder = load_finder(base.heads)
        if 2 * sum(len(finder.find(photo)) > 0 for photo in photos) > len(photos):
            return by_embedding(load_identity(base.identity, base.heads))
    if face_identity.available():
        found = sum(len(face_identity.of(photo)) > 0 for photo in photos)
        if 2 * found > len(photos):
            return BY_FACE
    if features.available():
        return replace(BY_FEATURES, by=features.name())
    raise InputError(
        "Nothing here can compare these pictures: pip install 'fluxbooth[faces]' for photographs "
        "of people, 'fluxbooth[features]' for all else."
    )


def by_embedding(identity: Identity) -> Measure:
    return Measure(
        "embedding",
        identity.subject,
        identity.similarity,
        identity.probability,
        identity.even,
    )


def _nearest_face(picture: Image.Image, subject: np.ndarray) -> float | None:
    """1 less the distance of the best face in a picture from the nearest of the photos: a pose is
    compared with the pose that is like it."""
    found = face_identity.of(picture)
    if not len(found) or not len(subject):
        return None
    apart = np.linalg.norm(found[:, None] - subject[None], axis=2)
    return 1 - float(apart.min())


def _faces_of(photos: Pictures) -> np.ndarray:
    """Of each photo its largest face."""
    return np.concatenate([face_identity.of(photo)[:1] for photo in photos])


def _likeness_of_features(picture: Image.Image, subject: np.ndarray) -> float:
    return float((subject @ features.of(picture).numpy()).mean())


def _features_of(photos: Pictures) -> np.ndarray:
    return np.stack([features.of(photo).numpy() for photo in photos])


BY_FACE = Measure("face", _faces_of, _nearest_face, same=1 - face_identity.SAME)
BY_FEATURES = Measure("features", _features_of, _likeness_of_features)


# Of a user's own photos.


def pairs(measure: Measure, a: Pictures, b: Pictures) -> tuple[list[float], list[float]]:
    """The similarities of each photo of two subjects to the rest of its own, and to the other's."""
    same, other = list[float | None](), list[float | None]()
    for own, strange in ((a, b), (b, a)):
        stranger = measure.subject(strange)
        for i, photo in enumerate(own):
            rest = measure.subject([*own[:i], *own[i + 1 :]])
            same.append(measure.similarity(photo, rest))
            other.append(measure.similarity(photo, stranger))
    return [x for x in same if x is not None], [x for x in other if x is not None]


def calibrated(measure: Measure, a: Pictures, b: Pictures) -> tuple[Measure, Json]:
    """The measure with percentages that hold for subjects as alike as these two are, and how well
    it tells these apart.

    InputError: fewer than three photos of one; too few in which anything can be compared.
    """
    if min(len(a), len(b)) < 3:
        raise InputError("--calibrate needs at least three photos of each of its two subjects.")
    same, other = pairs(measure, a, b)
    if min(len(same), len(other)) < 3:
        raise InputError("--calibrate found a face in too few of these photos: choose others.")
    even = (np.mean(same) + np.mean(other)) / 2
    # two normal distributions of one deviation (linear discriminant): the logistic's slope is
    # their distance by its square
    spread = np.sqrt((np.var(same) + np.var(other)) / 2) + 0.01
    slope = (np.mean(same) - np.mean(other)) / spread**2

    def probability(similarity: float) -> float:
        return float(1 / (1 + np.exp(-np.clip(slope * (similarity - even), -50, 50))))

    told = {
        "area_under_curve": round(area_under_curve(same, other), 4),
        "pairs": [len(same), len(other)],
    }
    return replace(measure, probability=probability, same=float(even)), told


def area_under_curve(same: Sequence[float], other: Sequence[float]) -> float:
    """Of the receiver's curve: how often a same pair is liker than another one, ties for half."""
    first, second = np.asarray(same)[:, None], np.asarray(other)[None]
    return float((first > second).mean() + (first == second).mean() / 2)
