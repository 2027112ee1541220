from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.models import loader
from fluxbooth.models.family import Family
from fluxbooth.specs import TrainSpec
from fluxbooth.training import choosing

# small and exact: float32, so that a result can be compared with one computed by hand
QUICK = TrainSpec(
    class_name="man",
    base="nano",
    steps=6,
    rank=4,
    batch_size=2,
    dtype="float32",
    checkpoint_every=3,
    seed=5,
)


# files that take longest, so that they start first and neither core is left alone with one at the
# end
LONGEST = (
    "service/test_survival.py", "service/test_bad_inputs.py", "web/test_story.py", "web/test_every_page.py",
    "service/test_contract.py", "training/test_resume.py", "service/test_packs.py", "service/test_themes.py",
    "web/test_pages.py", "evaluation/test_verify.py", "training/test_loop.py", "service/test_operate.py",
    "cli/test_main.py", "test_install.py", "models/test_frozen_linear.py", "service/test_openapi.py",
    "generation/test_generate.py", "lora/test_inference.py", "models/test_hub.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    rank = {here / name: number for number, name in enumerate(LONGEST)}
    # stable: within a file, and among the others, nothing moves
    items.sort(key=lambda item: rank.get(item.path, len(LONGEST)))


@pytest.fixture(autouse=True, scope="session")
def _threads() -> None:
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Four of the demo's photos, two of them square."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("photo-01.png", "photo-02.png", "photo-03.png", "photo-04.png"):
        shutil.copy(PHOTOS / name, folder)
    return folder


@pytest.fixture
def family() -> Family:
    """nano for training, fresh, in float32."""
    return loader.load("nano", training=True, dtype="float32")


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training looks at one picture every two steps, however long that takes."""
    for name, value in (
        ("SPACINGS", (2,)),
        ("PICTURES", (1,)),
        ("MEASURED", slice(0, 1)),
        ("DRAWN_IN", 2),
        ("NOISE", 0.01),
    ):
        monkeypatch.setattr(choosing, name, value)
    real = choosing.planned
    monkeypatch.setattr(choosing, "planned", lambda steps, share, *_: real(steps, share, 1.0, 0.1))


@pytest.fixture(scope="session")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA strong enough to change a picture visibly."""
    from fluxbooth import train

    spec = QUICK.model_copy(update={"steps": 30, "learning_rate": 5e-3, "checkpoint_every": 100})
    return train(PHOTOS, spec, tmp_path_factory.mktemp("lora") / "run").lora


@pytest.fixture
def photos_square(tmp_path: Path) -> Path:
    """Two of the demo's photos, made 128 x 128 already, so that cropping and scaling change
    nothing."""
    folder = tmp_path / "square"
    folder.mkdir()
    for name in ("photo-01.png", "photo-04.png"):
        Image.open(PHOTOS / name).convert("RGB").resize((128, 128), Image.Resampling.LANCZOS).save(
            folder / name
        )
    return folder
