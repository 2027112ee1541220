"""A run that was killed and resumed has the very weights of one that was not."""

from __future__ import annotations

import json
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fluxbooth import InputError
from fluxbooth.cli.main import main
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.photos import inspection
from fluxbooth.training import run_folder
from fluxbooth.training.run_folder import RUN, RunFolder
from tests.conftest import QUICK
from tests.support.forked import Command

STEPS = 24


FLAGS = "--name man --steps 24 --rank 4 --batch-size 2 --checkpoint-every 5 --caption-dropout 0.3 --ema 0.9 --seed 4 --progress json"


def training(out: Path) -> Command:
    return Command("train", PHOTOS, *FLAGS.split(), "--out", out)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert training(out).finish()[0] == 0
    return load_file(out / "ohwx.safetensors")


def killed_at(step: int, out: Path, how: signal.Signals) -> int:
    """Runs until that step's event, sends the signal; returns the exit code."""
    command = training(out)
    assert any(event["event"] == "step" and event["step"] >= step for event in command.rows())
    command.signal(how)
    code, rest, _ = command.finish()
    if how == signal.SIGTERM:  # who is asked to leave saves, and measures nothing
        assert (
            "validation_loss" not in [event for event in rest if event["event"] == "checkpoint"][-1]
        )
    return code


def check_same(out: Path, unbroken: dict[str, torch.Tensor]) -> None:
    """The very weights of the unbroken run, and a log that tells every step once."""
    weights = load_file(out / "ohwx.safetensors")
    assert weights.keys() == unbroken.keys()
    assert all(torch.equal(weights[name], unbroken[name]) for name in unbroken)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert [event["step"] for event in log if event["event"] == "step"] == list(range(1, STEPS + 1))


def finish(out: Path) -> int:
    """Runs to the end; returns the step at which it went on."""
    code, events, said = training(out).finish()
    assert code == 0, said
    return next(event["resumed_at"] for event in events if event["event"] == "prepared")


def test_a_setting_that_is_newer_than_the_run_is_as_it_was_without_it(tmp_path: Path) -> None:
    photos = inspection.read(PHOTOS)[:1]
    with RunFolder.opened(tmp_path, QUICK, photos, overwrite=False) as folder:
        pass
    (tmp_path / "step-000001").mkdir()
    begun = json.loads((folder.path / RUN).read_text())
    del begun["spec"]["face_crop"], begun["spec"]["optimizer"]
    (folder.path / RUN).write_text(json.dumps(begun))
    with pytest.raises(InputError, match="other settings"):
        RunFolder.opened(
            tmp_path, QUICK.model_copy(update={"face_crop": True}), photos, overwrite=False
        ).__enter__()
    RunFolder.opened(tmp_path, QUICK, photos, overwrite=False).__enter__()


def test_a_folder_takes_one_training_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_folder, "LOCK_WITHIN", 0.0)
    out = tmp_path / "run"
    first = training(out)
    assert any(event["event"] == "checkpoint" for event in first.rows())
    first.signal(signal.SIGSTOP)
    there = sorted(path.name for path in out.iterdir())
    for more in ([], ["--steps", "9"], ["--overwrite"]):
        assert main(["train", str(PHOTOS), *FLAGS.split(), "--out", str(out), *more]) == 2
        assert f"Another training writes into {out}" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == there
    first.signal(signal.SIGKILL)
    first.finish()
    # free, but another training's
    assert main(["train", str(PHOTOS), *FLAGS.split(), "--steps", "9", "--out", str(out)]) == 2
    assert "other settings" in capsys.readouterr().err
    with RunFolder.opened(out, QUICK, inspection.read(PHOTOS)[:1], overwrite=True) as folder:
        assert (
            sorted(path.name for path in out.iterdir()) == ["cache", "run.json", "spec.toml"]
            and not folder.checkpoints()
        )


def test_killed_three_times_and_resumed_is_bit_identical(
    tmp_path: Path, unbroken: dict[str, torch.Tensor]
) -> None:
    """At the first checkpoint, by a SIGTERM, which leaves one, and after it; then the newest
    checkpoint is damaged, and passed over."""
    out = tmp_path / "run"
    for step, how, code in (
        (3, signal.SIGKILL, -9),
        (7, signal.SIGTERM, 130),
        (17, signal.SIGKILL, -9),
    ):
        assert killed_at(step, out, how) == code
        assert not (out / "ohwx.safetensors").exists()
    older, newest = sorted(out.glob("step-*"))[-2:]
    damaged = newest / "lora.safetensors"
    data = bytearray(damaged.read_bytes())
    data[-10] ^= 1
    damaged.write_bytes(data)
    assert finish(out) == int(older.name[5:]) >= 7
    check_same(out, unbroken)


@pytest.mark.slow
def test_twenty_kills_at_random_steps_are_bit_identical(
    tmp_path: Path, unbroken: dict[str, torch.Tensor]
) -> None:
    rng = random.Random(20)
    for attempt in range(20):
        out = tmp_path / f"run-{attempt}"
        step, how = rng.randint(1, STEPS - 6), rng.choice((signal.SIGKILL, signal.SIGTERM))
        assert killed_at(step, out, how) == (130 if how == signal.SIGTERM else -how)
        assert not (out / "ohwx.safetensors").exists()
        assert finish(out) > 0 or (step < 5 and how == signal.SIGKILL)
        check_same(out, unbroken)
        shutil.rmtree(out)
