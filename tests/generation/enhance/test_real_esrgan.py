"""The networks beside ncnn, which their weights were stored for."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fluxbooth.errors import FluxboothError
from fluxbooth.generation.enhance import real_esrgan

NAMES = typing.get_args(real_esrgan.Name)


@pytest.fixture(scope="module")
def folder() -> Path:
    found = real_esrgan.folder()
    assert found is not None, "the extra `upscale` is not installed"
    return found


def ncnn_draws(folder: Path, name: real_esrgan.Name, pixels: np.ndarray) -> np.ndarray:
    ncnn: Any = importlib.import_module("ncnn")  # it has no stubs

    net = ncnn.Net()
    net.opt.num_threads = 1
    for short in ("use_fp16_storage", "use_fp16_arithmetic", "use_fp16_packed"):
        setattr(net.opt, short, False)
    net.load_param(str(folder / f"{real_esrgan.FILES[name]}.param"))
    net.load_model(str(folder / f"{real_esrgan.FILES[name]}.bin"))
    extractor, given = net.create_extractor(), ncnn.Mat(pixels)
    extractor.input("data", given)
    return np.array(extractor.extract("output")[1])


@pytest.mark.parametrize("name", NAMES)
def test_same_as_ncnn(folder: Path, name: real_esrgan.Name) -> None:
    pixels = np.random.default_rng(0).random((3, 20, 28), np.float32)
    with torch.inference_mode():
        ours = real_esrgan.load(name, folder, "cpu")(torch.from_numpy(pixels)[None])[0].numpy()
    theirs = ncnn_draws(folder, name, pixels)
    assert ours.shape == theirs.shape == (3, 80, 112)
    assert np.abs(ours - theirs).max() < 2e-4 < 0.05 < theirs.std()


def test_weights_of_another_network_are_refused(folder: Path, tmp_path: Path) -> None:
    for end in ("param", "bin"):
        other = folder / f"{real_esrgan.FILES['realesr-animevideov3']}.{end}"
        (tmp_path / f"{real_esrgan.FILES['realesrgan-x4plus']}.{end}").symlink_to(other)
    with pytest.raises(FluxboothError, match=r"REALESRGAN_X4PLUS_UP4X\.bin does not hold"):
        real_esrgan.load("realesrgan-x4plus", tmp_path, "cpu")


def test_package_of_weights_is_not_imported(folder: Path) -> None:
    assert folder.parent.name not in sys.modules
    assert importlib.metadata.requires(real_esrgan.PACKAGE) in (None, [])
