"""The stages, in their order."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluxbooth import InputError
from pretrain.__main__ import Work


def test_a_stage_asks_for_those_before_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--only render"):
        Work(tmp_path).shards()
    with pytest.raises(InputError, match="--only transformer"):
        Work(tmp_path).nano("transformer")
    with pytest.raises(InputError, match=r"critic-0\.safetensors is missing: run `--only critic`"):
        Work(tmp_path).critics()
