"""Pictures that were made with AI say so in their files, as other programs read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from fluxbooth import picture_files
from fluxbooth.prompts.options import OPTIONS

EXTENSION = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def source_type(path: Path) -> str | None:
    """What any reader of XMP finds."""
    with Image.open(path) as picture:
        packet = picture.info.get("xmp")
    if packet is None:
        return None
    said = [
        node.get(f"{EXTENSION}DigitalSourceType") for node in ElementTree.fromstring(packet).iter()
    ]
    return next(filter(None, said))


@pytest.mark.parametrize("source", picture_files._SOURCES)
@pytest.mark.parametrize("name", ["p.png", "p.jpg", "p.webp"])
def test_a_file_of_any_kind_says_where_the_picture_comes_from(
    tmp_path: Path, name: str, source: str
) -> None:
    path = tmp_path / name
    picture_files.save(Image.new("RGB", (32, 24), "teal"), path, source)
    assert source_type(path) == source
    with Image.open(path) as picture:
        assert picture.size == (32, 24) and picture_files.source_in(picture) == source


def test_a_photo_says_nothing(tmp_path: Path) -> None:
    for name in ("p.png", "p.webp"):
        picture_files.save(Image.new("RGB", (32, 24)), tmp_path / name, None)
        assert source_type(tmp_path / name) is None
        with Image.open(tmp_path / name) as picture:
            assert picture_files.source_in(picture) is None


GRAIN, HIRES = {"step": "film_grain"}, {"step": "hires_fix", "strength": 0.25}
NO_FACES = {"step": "faces", "found": 1, "drawn": 0}


@pytest.mark.parametrize(
    ("recipe", "source"),
    [
        ({}, "trainedAlgorithmicMedia"),
        ({"enhanced": [GRAIN]}, "trainedAlgorithmicMedia"),
        ({"input": {"strength": 0.4}}, "compositeWithTrainedAlgorithmicMedia"),
        ({"input": {"strength": 0}, "enhanced": [GRAIN]}, "algorithmicallyEnhanced"),
        ({"input": {"strength": 0}, "enhanced": [NO_FACES]}, "algorithmicallyEnhanced"),
        (
            {"input": {"strength": 0}, "enhanced": [HIRES, GRAIN]},
            "compositeWithTrainedAlgorithmicMedia",
        ),
        (
            {"input": {"strength": 0, "source": picture_files.GENERATED}, "enhanced": [GRAIN]},
            "trainedAlgorithmicMedia",
        ),
    ],
)
def test_a_picture_says_what_was_done(recipe: dict[str, Any], source: str) -> None:
    assert picture_files.source_of(recipe) == picture_files.CODES + source


def test_what_draws_is_what_the_options_draw() -> None:
    drawing = {row.step or row.name for row in OPTIONS.values() if row.draws}
    assert drawing == set(picture_files._DRAWN)
