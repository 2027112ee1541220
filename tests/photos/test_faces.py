"""Close-ups of faces: where they are cut, which photos have none, and a training that learns
from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fluxbooth import InputError, train
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.photos import faces, inspection
from fluxbooth.photos.inspection import Photo
from tests.conftest import QUICK

found = pytest.mark.skipif(not faces.available(), reason="the extra `faces` is not installed")
NEAR = PHOTOS / "photo-01.png"  # whose face takes half of its height, in the middle


def far(x: int, y: int) -> Image.Image:
    """The near photo in a much larger one, with its upper left corner at (x, y); the colours of
    the rest tell where they are."""
    across, down = np.meshgrid(np.arange(1536) // 8, np.arange(1024) // 8)
    picture = Image.fromarray(
        np.stack([across, down, np.full_like(across, 150)], axis=2).astype(np.uint8)
    )
    picture.paste(Image.open(NEAR).convert("RGB"), (x, y))
    return picture


def photo(picture: Image.Image) -> Photo:
    return Photo(
        Path("far.png"), np.asarray(picture), picture.width, picture.height, "ohwx man in a field"
    )


@found
@pytest.mark.parametrize(("x", "y"), [(600, 300), (200, 0), (1152, 640)])
def test_a_close_up_has_the_whole_face_wherever_it_is(x: int, y: int) -> None:
    (crop,) = faces.close_ups([photo(far(x, y))], least=64)
    assert crop.caption is None and crop.pixels.shape == (crop.height, crop.width, 3)
    assert 300 < crop.width == crop.height < 500
    left, top = (8 * int(value) for value in crop.pixels[0, 0, :2])
    drawn = (x + 0.25 * 384, y + 0.26 * 384, x + 0.74 * 384, y + 0.74 * 384)
    assert (
        left < drawn[0]
        and drawn[2] < left + crop.width
        and (top < drawn[1] or top == y == 0)
        and drawn[3] < top + crop.height
    )


@found
def test_what_shows_nothing_new_or_too_little_is_left_out() -> None:
    whole, empty = inspection.read(NEAR), photo(Image.new("RGB", (800, 600), (90, 120, 150)))
    assert faces.close_ups([*whole, empty], least=64) == []
    assert faces.close_ups([photo(far(600, 300))], least=512) == []


@found
def test_a_training_learns_from_them_beside_the_photos(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(2):
        far(500 + 50 * number, 300).save(tmp_path / "photos" / f"{number}.png")
    prepared: list[dict[str, Any]] = []
    spec = QUICK.model_copy(update={"steps": 1, "batch_size": 1, "face_crop": True})
    train(
        tmp_path / "photos",
        spec,
        tmp_path / "run",
        lambda event: prepared.append(event) if event["event"] == "prepared" else None,
    )
    assert [event["pictures"] for event in prepared] == [4]


def test_without_the_extra_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "available", lambda: False)
    with pytest.raises(InputError, match=r"fluxbooth\[faces\]"):
        train(NEAR, QUICK.model_copy(update={"face_crop": True}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
