"""Two processes on the CPU train one LoRA: the one that a single process with twice the batch
trains."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fluxbooth import InputError, TrainSpec, train
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.training.distributed import ProcessGroup
from tests.support.forked import Command
from tests.support.server import free_port

STEPS = 8
SPEC = TrainSpec(
    class_name="man",
    base="nano",
    steps=STEPS,
    rank=4,
    batch_size=2,
    dtype="float32",
    seed=6,
    caption_dropout=0.3,
    ema=0.9,
)


def flags(out: Path) -> list[str]:
    spec = f"--name man --steps {STEPS} --rank 4 --batch-size 2 --dtype float32 --seed 6 --caption-dropout 0.3 --ema 0.9"
    return ["train", str(PHOTOS), *spec.split(), "--progress", "json", "--out", str(out)]


def launched(out: Path) -> subprocess.Popen[str]:
    """As the documents say, with more flags, so that nothing depends on the machine."""
    launch = "launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.accelerate_cli",
        *launch.split(),
        "--main_process_port",
        str(free_port()),
    ]
    return subprocess.Popen(
        [*command, "-m", "fluxbooth", *flags(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def logged(out: Path, kind: str = "step") -> list[dict[str, float]]:
    return [
        event
        for line in (out / "log.jsonl").read_text().splitlines()
        if (event := json.loads(line))["event"] == kind
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one process with twice the batch."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    train(PHOTOS, SPEC.model_copy(update={"batch_size": 4}), folder)
    return folder


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, alone: Path) -> None:
    """As a launcher starts them, by the variables that it sets."""
    out, port = tmp_path / "two", str(free_port())
    group = [
        Command(
            *flags(out),
            WORLD_SIZE="2",
            RANK=rank,
            LOCAL_RANK=rank,
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in "01"
    ]
    (code, events, said), other = [command.finish() for command in group]
    assert (code, other[:2]) == (0, (0, [])), said + other[2]
    check_same(out, events, alone, resumed_at=0)


@pytest.mark.slow
def test_two_processes_of_a_launcher_train_as_one(tmp_path: Path, alone: Path) -> None:
    check_same(*finished(tmp_path / "two"), alone, resumed_at=0)


@pytest.mark.slow
def test_two_processes_go_on_after_a_stop(tmp_path: Path, alone: Path) -> None:
    out = tmp_path / "two"
    with launched(out) as first:
        assert first.stdout
        for line in first.stdout:
            if json.loads(line)["event"] == "step":
                first.send_signal(signal.SIGTERM)
                break
        first.stdout.read()
    stopped = [event["step"] for event in logged(out, "checkpoint")]
    # the main process alone wrote, at a step that both had done
    assert len(stopped) == 1 and 1 <= stopped[0] < STEPS
    check_same(*finished(out), alone, resumed_at=int(stopped[0]))


def finished(out: Path) -> tuple[Path, list[dict[str, Any]]]:
    with launched(out) as process:
        assert process.stdout
        events = [json.loads(line) for line in process.stdout.read().splitlines()]
    assert process.returncode == 0
    return out, events


def check_same(out: Path, events: list[dict[str, Any]], alone: Path, *, resumed_at: int) -> None:
    assert (
        next(event["resumed_at"] for event in events if event["event"] == "prepared") == resumed_at
    )
    together, single = logged(out), logged(alone)
    assert [event["step"] for event in together] == [*range(1, STEPS + 1)]
    assert max(abs(a["loss"] - b["loss"]) for a, b in zip(together, single, strict=True)) < 1e-5
    after = [logged(folder, "checkpoint")[-1]["validation_loss"] for folder in (out, alone)]
    assert abs(after[0] - after[1]) < 1e-5
    weights, expected = load_file(out / "ohwx.safetensors"), load_file(alone / "ohwx.safetensors")
    for name, value in expected.items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=2e-4)
    # it is this run's, however many processes it had
    with pytest.raises(InputError, match="finished LoRA"):
        train(PHOTOS, SPEC.model_copy(update={"batch_size": 4}), out)


def test_a_batch_is_split_without_rest() -> None:
    assert [ProcessGroup(rank, 3).part(6) for rank in range(3)] == [
        slice(0, 2),
        slice(2, 4),
        slice(4, 6),
    ]
    assert ProcessGroup(1, 2).whole(SPEC).batch_size == 4
    alone = ProcessGroup()
    value = [torch.tensor([1.0, 2.0])]
    alone.average(value)
    assert (
        value[0].tolist() == [1.0, 2.0]
        and alone.part(5) == slice(0, 5)
        and alone.any(True)
        and not alone.any(False)
    )
