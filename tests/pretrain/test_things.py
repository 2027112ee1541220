"""Drawn things."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxbooth import InputError
from pretrain import things


def test_npm_is_asked_for_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(things, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"^npm is not installed, .*: install Node\.js\.$"):
        things.install()
