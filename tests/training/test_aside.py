"""A training that stands aside at its boundaries: what is drawn meanwhile is the plain base's, and
what is learnt is what an unbroken training learns."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from fluxbooth import generate, train
from fluxbooth.files import tensors_sha256
from fluxbooth.lora import training as lora_training
from fluxbooth.models import loader
from fluxbooth.models.family import Family
from fluxbooth.specs import GenerateSpec
from tests.conftest import QUICK

TEXT = "a man at the beach"
SPEC = QUICK.model_copy(update={"ema": 0.9, "sample_prompts": ("ohwx man",), "learning_rate": 5e-3})
DRAWING = GenerateSpec(base="nano", steps=2, seed=1, dtype="float32")


def digest(family: Family, lora: Path, kind: int) -> str:
    """Of a plain picture, one with somebody's LoRA, or one drawn fast: each touches the network's
    layers in another way."""
    changes = ({}, {"loras": (str(lora),)}, {"speed": "fast"})[kind % 3]
    (picture,) = generate(TEXT, DRAWING.model_copy(update=changes), family=family)
    return hashlib.sha256(picture.image.tobytes()).hexdigest()


def test_pictures_are_the_plain_base_s_and_the_weights_those_of_an_unbroken_run(
    photos: Path, lora: Path, tmp_path: Path
) -> None:
    family = loader.load("nano", training=True, dtype="float32")
    plain = [digest(family, lora, kind) for kind in range(3)]

    def trained(name: str, aside: Callable[[], None]) -> tuple[str, list[bytes]]:
        result = train(photos, SPEC, tmp_path / name, family=family, aside=aside)
        samples = sorted((tmp_path / name / "samples").glob("*.png"))
        return tensors_sha256(load_file(result.lora)), [path.read_bytes() for path in samples]

    unbroken = trained("unbroken", lambda: None)
    calls = list[str]()

    def aside() -> None:
        with lora_training.branches_off(family):
            calls.append(digest(family, lora, len(calls)))

    torch.manual_seed(7)  # nothing that either does is drawn from the numbers that all share
    assert trained("broken", aside) == unbroken
    assert len(calls) >= 20 and calls == [plain[i % 3] for i in range(len(calls))]
    assert [digest(family, lora, kind) for kind in range(3)] == plain


def test_without_standing_in_a_picture_wears_the_training_s_lora(
    photos: Path, lora: Path, tmp_path: Path
) -> None:
    """What the other test would not notice if the branches were zero."""
    family = loader.load("nano", training=True, dtype="float32")
    plain, calls = digest(family, lora, 0), list[str]()

    def aside() -> None:
        calls.append(digest(family, lora, 0))

    train(photos, SPEC, tmp_path / "run", family=family, aside=aside)
    assert calls[0] == plain and calls[-1] != plain
