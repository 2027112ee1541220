"""How alike a training's samples are to its subject."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image

from fluxbooth.evaluation import likeness
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.models import registry


def test_samples_are_held_to_what_most_photos_show(tmp_path: Path) -> None:
    photos = sorted(PHOTOS.glob("*.png"))
    Image.new("RGB", (128, 128), "white").save(tmp_path / "step-000000-0.png")
    shutil.copy(photos[0], tmp_path / "step-000010-0.png")
    shutil.copy(photos[1], tmp_path / "step-000010-1.png")
    reader = registry.find("nano").reader
    assert reader is not None
    found = likeness.report(photos, tmp_path, reader)
    assert found["photos"] > 0.9
    nobody, (first, second) = found["samples"]["0"], found["samples"]["10"]
    assert found["samples"].keys() == {"0", "10"} and len(nobody) == 1
    assert min(first, second) > 0.8 > nobody[0]


def test_only_a_base_with_a_reader_is_read() -> None:
    assert [name for name, row in registry.BASES.items() if row.reader] == ["nano"]


def test_what_is_downloaded_is_no_folder_of_this_machine() -> None:
    assert {name for name, row in registry.BASES.items() if not row.from_hub} == {"nano"}
    assert not registry.find(registry.BASES["nano"].source).from_hub
