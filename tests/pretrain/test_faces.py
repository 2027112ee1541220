"""Faces of the mesh model."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from fluxbooth import InputError
from pretrain import faces, people
from pretrain.people import Person, Shot
from pretrain.renders import Portrait
from tests.support.pretraining import ROWS, is_clay


def test_the_last_faces_are_never_trained_on() -> None:
    faces_met = [row.person.face for row in ROWS if isinstance(row, Portrait) and is_clay(row)]
    assert len(set(faces_met)) > 50
    assert max(faces_met) < people.FACES - people.HELD_OUT_FACES


def test_what_is_nearer_is_painted_over_what_is_behind() -> None:
    # to the right, to the back, up
    triangle = np.array([[-0.5, 0.0, -0.5], [0.5, 0.0, -0.5], [0.0, 0.0, 0.5]])
    behind = triangle + np.array([0, 0.1, 0])
    v = np.concatenate([behind, 0.5 * triangle])
    picture = Image.new("RGB", (64, 64), (0, 0, 255))
    for order in (slice(None), slice(None, None, -1)):
        triangles = np.array([[0, 1, 2], [3, 4, 5]])[order]
        colours = np.array([[200.0, 0, 0], [0, 200.0, 0]])[order]
        faces._paint(v, triangles, colours, picture, (0, 0, 64, 64))
        middle, edge, corner = (
            np.array(picture.getpixel(at)) for at in ((32, 36), (12, 58), (2, 2))
        )
        assert middle[1] > 90 and middle[0] == 0
        assert edge[0] > 90 and edge[1] == 0
        assert corner.tolist() == [0, 0, 255]


def test_a_head_that_looks_right_shows_its_nose_on_the_right() -> None:
    nose = np.array([0.0, -1.0, 0.0])
    assert (nose @ faces._turned(people.POSES["looking right"], 0).T)[0] > 0.5
    assert (nose @ faces._turned(people.POSES["looking left"], 0).T)[0] < -0.5


def test_anny_is_asked_for_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r'^Clay heads need the package anny: pip install "fluxbooth\[mesh\]"\.$'
    ):
        faces.mesh.__wrapped__()


@pytest.mark.slow
def test_a_face_is_its_number() -> None:
    pytest.importorskip("anny", reason='needs pip install "fluxbooth[mesh]"')
    shot = Shot("t-shirt", "blue", "serious", "white", "centre", 1.0, pose="facing us")

    def drawn(face: int) -> np.ndarray:
        row = Portrait(
            Person("clay", "man", "a bald head", "red", "tan", "none", "none", "green", face), shot
        )
        return np.asarray(row.draw(128, 128, random.Random(0)), dtype=int)

    assert (drawn(1) == drawn(1)).all()
    assert abs(drawn(1) - drawn(2)).mean() > 2
