"""The figures of the layout that take a training."""

from __future__ import annotations

from pathlib import Path

from tools import layout


def test_who_follows_the_photos_of_a_training_climbs_seldom(tmp_path: Path) -> None:
    found = layout.climbs(tmp_path)
    assert any(place.startswith("training/loop.py:") for place in found)
    assert len(found) <= layout.LIMITS["climbs of the photos of a training"][0], sorted(found)
