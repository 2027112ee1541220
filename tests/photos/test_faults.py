from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from fluxbooth.evaluation import photo_page
from fluxbooth.photos import faults, variety
from fluxbooth.photos.face import Face
from fluxbooth.photos.inspection import inspect
from tests.photos.test_inspection import photo_of, textured


def brighter(picture: Image.Image, times: float) -> Image.Image:
    return picture.point(lambda value: min(255, int(times * value)))


def saved(picture: Image.Image, quality: int) -> Image.Image:
    held = io.BytesIO()
    picture.save(held, "JPEG", quality=quality)
    return Image.open(held).convert("RGB")


@pytest.mark.parametrize(
    ("code", "spoilt"),
    [
        ("blurred", lambda p: p.filter(ImageFilter.GaussianBlur(4))),
        ("dark", lambda p: brighter(p, 0.25)),
        ("burnt", lambda p: brighter(p, 4)),
        ("jpeg", lambda p: saved(p, 8)),
        ("flat", lambda p: Image.new("RGB", p.size, "grey")),
    ],
)
def test_each_fault_is_told_of_a_copy_and_not_of_the_photo(code: str, spoilt) -> None:
    photo = textured(512)
    assert faults.of(np.asarray(photo)) == []
    assert code in [fault.code for fault in faults.of(np.asarray(spoilt(photo)))]


def test_a_white_background_and_bright_clothes_are_not_burnt() -> None:
    drawing = Image.new("RGB", (128, 128), "white")
    drawing.paste(textured(90), (19, 19))
    drawing.paste((255, 80, 90), (30, 70, 98, 109))
    assert "burnt" not in [fault.code for fault in faults.of(np.asarray(drawing))]


def room(wall: str, shirt: str, seed: int) -> np.ndarray:
    picture = Image.new("RGB", (128, 160), wall)
    picture.paste(shirt, (40, 90, 90, 160))
    picture.paste("#d0a080", (45 + seed, 40 - seed, 80 + seed, 85))
    return np.asarray(picture)


def test_photos_of_one_session_are_found_by_background_and_clothes() -> None:
    photos = [
        room("#305080", "#c03030", 0),
        room("#70a060", "#c03030", 3),
        room("#325484", "#bb3232", 5),
        room("#305080", "#e8e8e8", 2),
    ]
    assert variety.sessions(photos) == [[0, 2]]
    (told,) = variety.advice(list("abcd")[:2], photos[::2], None)
    assert told.startswith("all photos look like one session")


def face(height: float, at: float = 0.3, turned: bool = False) -> Face:
    return Face(at, 0.2, at + height, 0.2 + height, turned)


def test_faces_are_told_of_where_someone_finds_them() -> None:
    photos = [photo_of(textured(128, seed), f"{seed}.png") for seed in range(5)]
    found = iter(
        [[face(0.2)], [face(0.2), face(0.15)], [face(0.3, -0.1)], [face(0.25)], [face(0.2)]]
    )
    report = inspect(photos, 128 * 128, find_faces=lambda pixels: next(found))
    assert [one.faults for one in report.photos] == [[], ["others"], ["cut"], [], []]
    assert any(line.startswith("no photo shows the whole figure") for line in report.advice)
    assert any(line.startswith("every face looks into the camera") for line in report.advice)
    assert report.verdict.startswith("fair: 2 of 5")
    things = inspect(photos, 128 * 128, find_faces=lambda pixels: [])
    assert not any("face" in line for line in things.advice)


def test_the_page_shows_every_photo_and_hides_no_markup() -> None:
    photos = [photo_of(textured(64), "<b>.png")]
    page = photo_page.page(photos, inspect(photos, 64 * 64))
    assert page.count("<figure>") == 1 and "&lt;b&gt;.png" in page and "<b>.png" not in page
