"""Pictures that were made with AI say so in their files, as other programs read it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image

from fluxbooth import picture_files

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


@pytest.mark.parametrize("source", [picture_files.GENERATED, picture_files.EDITED])
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


def test_a_picture_that_began_as_another_is_a_composite() -> None:
    assert picture_files.source_of({"seed": 1}).endswith("/trainedAlgorithmicMedia")
    began = {"seed": 1, "input": {"strength": 0.4}}
    assert picture_files.source_of(began).endswith("/compositeWithTrainedAlgorithmicMedia")
