"""The background removed: alpha near the true one, and no rim of the old colour."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from fluxbooth import InputError
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.generation.enhance import background
from fluxbooth.models import registry
from pretrain import backgrounds
from pretrain.backgrounds import SCENES
from pretrain.renders import rasterised
from tests.support.images import opened

NANO, DEV = registry.find("nano"), registry.find("flux-dev")
MAN = opened(PHOTOS / "photo-05.png").convert("RGB")  # on the right, before a grey wall
BEHIND, FRONT = ((5, 5), (10, 200), (150, 60)), (250, 200)  # places: right, down


def softly_cut(side: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """A green disc before red, mixed along its edge, and how much of each pixel it covers."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    alpha = (0.5 + (0.3 * side - np.hypot(x - side / 2, y - side / 2)) / 6).clip(0, 1)
    colours = alpha[..., None] * (0, 0.8, 0.1) + (1 - alpha[..., None]) * (0.9, 0.1, 0.1)
    return colours.astype(np.float32), alpha


def test_what_stands_in_front_stays_and_the_rest_is_clear() -> None:
    cut = background.remove(MAN, NANO)
    assert cut.mode == "RGBA" and cut.size == MAN.size
    alpha = np.asarray(cut.getchannel("A"))
    assert all(cut.getpixel(at)[3] == 0 for at in BEHIND) and cut.getpixel(FRONT)[3] == 255
    assert 0 < ((alpha > 0) & (alpha < 255)).mean() < 0.15  # soft along the edge alone
    assert cut.getpixel(FRONT)[:3] == MAN.getpixel(FRONT)


def test_its_edge_holds_no_colour_of_the_background() -> None:
    colours, alpha = softly_cut()
    pure = background.without_background(colours, alpha)
    edge = (alpha > 0.2) & (alpha < 0.8)
    assert np.abs(colours - (0, 0.8, 0.1))[edge].max() > 0.4
    assert np.abs(pure - (0, 0.8, 0.1))[edge].max() < 0.1


def test_a_coarse_edge_is_drawn_to_that_of_the_picture() -> None:
    colours, alpha = softly_cut()
    exact = Image.fromarray((alpha * 255).astype(np.uint8))
    coarse = exact.resize((16, 16), Image.Resampling.BOX).resize(exact.size)
    rough = np.asarray(coarse, np.float32) / 255
    refined = background.refined(rough, colours)
    assert np.abs(refined - alpha).mean() < 0.7 * np.abs(rough - alpha).mean()


def test_a_picture_that_shows_nothing_is_not_cut_to_nothing() -> None:
    for base, what in ((NANO, "people, animals or things"), (DEV, "people")):
        with pytest.raises(InputError, match=f"shows no {what} that"):
            background.remove(Image.new("RGB", (128, 160), "#65B5FF"), base)


@pytest.mark.parametrize("place", SCENES)
def test_an_empty_place_is_not_cut_to_nonsense(place: str) -> None:
    scene = rasterised(backgrounds.background(place, 128, 128, random.Random(1)), 128, 128)
    with pytest.raises(InputError, match="shows no people, animals or things"):
        background.remove(scene, NANO)
