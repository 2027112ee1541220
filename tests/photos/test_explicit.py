"""The network that looks for explicit pictures. None is here: what it takes for one is drawn."""

from __future__ import annotations

import numpy as np

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.photos import explicit
from tests.support.images import opened, skin_coloured


def test_what_is_round_and_skin_coloured_looks_more_explicit_than_portraits() -> None:
    portraits = [np.asarray(opened(path).convert("RGB")) for path in sorted(PHOTOS.glob("*.png"))]
    assert max(map(explicit.score, portraits[:4])) < 0.2
    assert explicit.score(np.asarray(skin_coloured())) > 0.5


def test_the_same_pixels_have_the_same_score() -> None:
    pixels = np.asarray(skin_coloured())
    assert explicit.score(pixels) == explicit.score(pixels.copy())
