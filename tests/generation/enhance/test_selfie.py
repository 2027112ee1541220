"""The people of photographs: our module gives what LiteRT makes of MediaPipe's own file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.generation.enhance.selfie import load_selfie
from tests.support.images import opened

# `selfie_segmentation.tflite` of mediapipe 0.10.21 in ai-edge-litert 2.3.0, rounded to 8 bits
LITERT = Path(__file__).parents[2] / "data" / "selfie_of_demo_photo.png"


def test_it_is_what_litert_makes_of_the_same_file() -> None:
    photo = opened(PHOTOS / "photo-01.png").resize((256, 256), Image.Resampling.BILINEAR)
    ours, theirs = load_selfie().segment(photo), np.asarray(opened(LITERT), np.float32) / 255
    assert np.abs(ours - theirs).max() < 1 / 255
    assert 0.2 < theirs.mean() < 0.8  # it has something to say
