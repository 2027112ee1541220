"""A training on FLUX.2 [klein] that was killed and resumed has the very weights of one that was not."""

from __future__ import annotations

import signal
from pathlib import Path

import torch
from safetensors.torch import load_file

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.photos import faces
from tests.support import klein
from tests.support.forked import Command

FLAGS = "--name man --steps 6 --rank 4 --batch-size 2 --resolution 64 --checkpoint-every 2 --caption-dropout 0.3 --seed 4 --progress json"
# what is off by default on this base
FLAGS += f" --outside-head {0.1 if faces.available() else 1} --fit-text true --settle-steps 4"


def training(base: Path, out: Path) -> Command:
    return Command("train", PHOTOS, *FLAGS.split(), "--base", base, "--out", out)


def test_killed_and_resumed_it_is_bit_identical(tmp_path: Path) -> None:
    base = klein.folder(tmp_path / "base", distilled=False)
    code, _, said = training(base, tmp_path / "unbroken").finish()
    assert code == 0, said
    broken = training(base, tmp_path / "killed")
    assert any(event["event"] == "step" and event["step"] >= 3 for event in broken.rows())
    broken.signal(signal.SIGKILL)
    assert broken.finish()[0] == -signal.SIGKILL
    code, events, said = training(base, tmp_path / "killed").finish()
    assert code == 0, said
    assert next(one["resumed_at"] for one in events if one["event"] == "prepared") in (2, 4)
    one, two = (load_file(tmp_path / name / "ohwx.safetensors") for name in ("unbroken", "killed"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
