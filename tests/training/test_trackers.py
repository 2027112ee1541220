"""TensorBoard and Weights & Biases get what a run has to show, also of one that was interrupted.

Nothing leaves this machine.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb.proto.wandb_internal_pb2 import Record

from fluxbooth import InputError, TrainSpec, train
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.training import trackers
from tests.conftest import QUICK

TEXT = "ohwx man at sea"
SPEC = QUICK.model_copy(
    update={"steps": 4, "batch_size": 1, "checkpoint_every": 2, "sample_prompts": (TEXT,)}
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was interrupted after its second step, and went on."""
    photos, out = sorted(PHOTOS.glob("*.png"))[:2], tmp_path_factory.mktemp("runs") / "my-run"
    spec = SPEC.model_copy(update={"trackers": ("tensorboard", "wandb")})

    def stop(event: dict[str, Any]) -> None:
        # told of, but in no checkpoint: done again
        if event["event"] == "step" and event["step"] == 3:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("WANDB_SILENT", "true")
        with pytest.raises(KeyboardInterrupt):
            train(photos, spec, out, stop)
        train(photos, spec, out)
    return out


def test_tensorboard_has_curves_samples_and_spec_under_the_runs_name(run: Path) -> None:
    read = EventAccumulator(
        str(run / "tensorboard" / "my-run"), {"images": 0, "scalars": 0, "tensors": 0}
    )
    read.Reload()
    assert [event.step for event in read.Scalars("loss")] == [1, 2, 3, 4]
    assert [event.step for event in read.Scalars("validation_loss")] == [2, 4]
    assert [event.step for event in read.Images(f"sample/{TEXT}")] == [2, 4]
    (told,) = read.Tensors("spec/text_summary")
    assert "base = nano" in told.tensor_proto.string_val[0].decode()


def test_wandb_has_curves_samples_and_spec_under_the_runs_name(run: Path) -> None:
    ids, steps, samples, specs = set(), [], [], []
    # of each process; syncing puts those of one id together
    for part in sorted((run / "wandb").glob("offline-run-*/*.wandb")):
        for record in records(part):
            if record.HasField("run"):
                ids.add((record.run.run_id, record.run.display_name))
                specs.append({item.key: item.value_json for item in record.run.config.update})
            if record.HasField("history"):
                values = {
                    item.key or "/".join(item.nested_key): item.value_json
                    for item in record.history.item
                }
                step = record.history.step.num
                steps += [step] if "loss" in values else []
                samples += [step] if any(TEXT in key for key in values) else []
    ((_, name),) = ids
    assert name == "my-run"
    assert all(json.loads(spec["base"]) == "nano" for spec in specs)
    assert sorted(set(steps)) == [1, 2, 3, 4] and sorted(set(samples)) == [2, 4]


def records(path: Path) -> Iterator[Record]:
    """What W&B wrote to be synced: LevelDB's log format, blocks of 32 KiB behind seven bytes of
    W&B's own."""
    data, at, whole = path.read_bytes(), 7, b""
    while at < len(data):
        left = 2**15 - at % 2**15
        if left < 7:  # no room for another header
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of a record, or the last of it
            yield Record.FromString(whole)
            whole = b""


def test_a_tracker_that_is_not_installed_is_said_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"pip install 'fluxbooth\[wandb\]'"):
        train(
            tmp_path / "nowhere", TrainSpec(class_name="man", trackers=("wandb",)), tmp_path / "run"
        )


def test_the_kinds_are_those_of_the_spec() -> None:
    assert set(trackers.KINDS) == set(TrainSpec.choices("trackers"))
