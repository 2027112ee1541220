"""A base that is trained on other weights than it draws with, in the process of a device: one
network leaves memory before the other comes, and what is beside them stays."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fluxbooth import FluxboothError, generate, picture_files, train
from fluxbooth.engine import device_process
from fluxbooth.engine.device_pool import needs
from fluxbooth.engine.device_process import DeviceProcess
from fluxbooth.files import tensors_sha256
from fluxbooth.models import hub, loader, loading, planner, registry
from fluxbooth.specs import GenerateSpec, TrainSpec
from tests.support import klein
from tests.support.images import opened

NAME = "flux2-klein"
ROW = registry.BASES[NAME]
TRAINING = TrainSpec(
    class_name="man", base=NAME, steps=2, rank=2, batch_size=1, resolutions=(64,), text_length=32,
    learning_rate=1e-2, dtype="float32", seed=3,
)  # fmt: skip
DRAWING = GenerateSpec(base=NAME, width=64, height=64, seed=7, dtype="float32")
TEXT = "ohwx man"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face home with both sets of weights."""
    home = tmp_path_factory.mktemp("home")
    for row, distilled in ((ROW, True), (ROW.to_train, False)):
        name = f"models--{row.source.replace('/', '--')}"
        assert row.revision is not None
        place = home / "hub" / name / "snapshots" / row.revision
        klein.folder(place, distilled=distilled, seed=distilled)
    return home


@pytest.fixture
def here(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    return home


def folders(home: Path) -> list[Path]:
    """The weights that draw, and those that are trained on."""
    found = [
        home / "hub" / f"models--{row.source.replace('/', '--')}" / "snapshots" / str(row.revision)
        for row in ROW.sets
    ]
    assert len(found) == 2
    return found


def answers(home: Path, requests: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The results of the requests, one after another, of one process."""
    command = [sys.executable, "-m", "fluxbooth.engine.device_process"]
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        for number, request in enumerate(requests):
            process.stdin.write(json.dumps({"id": number, **request}) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                told = json.loads(line)
                assert "failed" not in told, told
                if told.get("id") == number and "result" in told:
                    yield told["result"]
                    break
        process.stdin.close()


def weights(path: str | Path) -> str:
    return tensors_sha256(load_file(path))


def test_a_training_a_picture_and_a_training(here: Path, photos: Path, tmp_path: Path) -> None:
    draws, trained_on = folders(here)
    alone = train(photos, TRAINING.model_copy(update={"base": str(trained_on)}), tmp_path / "alone")
    asked = DRAWING.model_copy(update={"loras": (str(alone.lora),)})
    spec, files = TRAINING.model_dump(mode="json"), sorted(map(str, photos.iterdir()))
    first, drawn, second = answers(
        here,
        [
            {"work": "train", "photos": files, "spec": spec, "out": str(tmp_path / "1")},
            {
                "work": "generate",
                "text": TEXT,
                "spec": asked.model_dump(mode="json"),
                "out": str(tmp_path / "2"),
            },
            {"work": "train", "photos": files, "spec": spec, "out": str(tmp_path / "3")},
        ],
    )
    assert weights(first["lora"]) == weights(second["lora"]) == weights(alone.lora)
    (picture,) = drawn["pictures"]
    assert picture["recipe"]["steps"] == 4
    assert picture["recipe"]["base_revision"] == ROW.revision
    found = np.asarray(opened(picture["path"]))
    same, other = (
        as_written(asked, folder, tmp_path / f"{folder.name}.jpg") for folder in (draws, trained_on)
    )
    assert np.array_equal(found, same)
    assert not np.array_equal(found, other)


def as_written(spec: GenerateSpec, folder: Path, path: Path) -> np.ndarray:
    """A picture of a folder's own weights, as a device's process writes it."""
    (picture,) = generate(TEXT, spec.model_copy(update={"base": str(folder), "steps": 4}))
    source = picture_files.source_of(picture.metadata)
    picture_files.save(picture.image, path, source, quality=95, subsampling=0)
    return np.asarray(opened(path))


def test_what_is_beside_the_networks_stays_and_one_network_goes(here: Path) -> None:
    process = DeviceProcess(io.StringIO())
    trained = process.resident(TRAINING, training=True)
    assert trained.row.two_pass and trained.row.steps == 50
    assert process.resident(TRAINING, training=True) is trained
    encoder, decoder, choice = (
        trained._pipeline.text_encoder,
        trained._pipeline.vae,
        trained.choice,
    )
    network = weakref.ref(trained.network)
    del trained
    drawn = process.resident(DRAWING)
    assert network() is None
    assert (drawn.row.steps, drawn.row.two_pass, drawn.row.name) == (4, False, NAME)
    assert drawn._pipeline.text_encoder is encoder and drawn._pipeline.vae is decoder
    assert drawn.choice == choice
    assert process.resident(DRAWING) is drawn


def test_other_files_beside_a_network_are_not_taken_for_its_own(here: Path, tmp_path: Path) -> None:
    draws, _ = folders(here)
    other = klein.folder(tmp_path / "other")
    file = other / "vae" / "config.json"
    file.write_text(file.read_text() + "\n")
    parts = loader.load(str(draws), dtype="float32").parts()
    taken = loader.load(str(other), dtype="float32", parts=parts)
    assert taken._pipeline.text_encoder is parts.components["text_encoder"]
    assert taken._pipeline.vae is not parts.components["vae"]


def test_what_is_here_is_told_of_each_set(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws, trained_on = folders(here)
    assert loader.here(NAME).source == str(draws)
    row = loader.here(NAME, training=True)
    assert (row.source, row.train_source) == (str(trained_on), str(trained_on))
    assert row.revision == ROW.train_revision
    assert hub.local(ROW) == draws and hub.local(ROW.to_train) == trained_on
    said = planner.two_networks(ROW)
    assert said is not None and "One of the two networks is in memory at a time" in said
    assert planner.two_networks(registry.BASES["flux2-klein-base"]) is None
    without = replace(ROW, train_revision="0" * 40)
    monkeypatch.setitem(registry.BASES, NAME, without)
    with pytest.raises(Exception, match="The weights that flux2-klein is trained on are not on"):
        loader.here(NAME, training=True)


def test_a_device_that_has_the_other_network_is_not_preferred() -> None:
    spec = {"base": NAME}
    trains, draws = (needs({"work": work, "spec": spec})[0] for work in ("train", "generate"))
    assert trains == ROW.train_source and draws == NAME
    assert needs({"work": "train", "spec": {"base": "flux-dev"}})[0] == "flux-dev"


def test_work_that_runs_out_of_a_cards_memory_fails_and_the_process_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What had come of a base leaves with it; the next work has it read again."""
    monkeypatch.setattr(device_process, "WORK", {"full": _full})
    out = io.StringIO()
    process = DeviceProcess(out)
    process.resident(DRAWING)
    process.do({"id": 7, "work": "full"})
    told = json.loads(out.getvalue().splitlines()[-1])
    assert told["id"] == 7 and "memory of the server's GPU ran out" in told["failed"]
    assert process.family is None
    assert process.resident(DRAWING) is not None


def _full(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_a_base_that_did_not_arrive_whole_is_not_taken_for_there(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = DeviceProcess(io.StringIO())
    with monkeypatch.context() as patched:
        patched.setattr(loading.WeightPlacer, "__call__", _full)
        with pytest.raises(FluxboothError, match="ran out while"):
            process.resident(DRAWING)
    assert process.family is None
    network = process.resident(DRAWING).network
    assert not any(parameter.is_meta for parameter in network.parameters())
