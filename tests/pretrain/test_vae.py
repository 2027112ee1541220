"""The autoencoder."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from fluxbooth import InputError
from fluxbooth.models.flux1.bases import NANO
from pretrain import leaves, vae
from pretrain.data import Shard
from pretrain.renders import Portrait
from tests.support.pretraining import ROWS, is_clay


def test_a_finished_autoencoder_learns_without_moving_the_latents_of_renders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(vae, "BATCH", 4)
    monkeypatch.setattr(vae, "LEAVES", 1)
    monkeypatch.setattr(vae, "LEARNING_RATE", 0.05)  # which hardly begins to rise in so few steps
    rng = random.Random(1)
    row = next(row for row in ROWS if isinstance(row, Portrait) and not is_clay(row))
    render = np.asarray(row.draw(128, 128, rng))[None]
    pixels = vae.to_model(render)

    def after(tether: float) -> tuple[float, float]:
        """How far ten steps move the latents of the render, and those of leaves."""
        monkeypatch.setattr(vae, "TETHER", tether)
        before, model = (
            vae.AutoencoderKL.from_pretrained(NANO / "vae", torch_dtype=torch.float32)
            for _ in range(2)
        )
        for _ in vae.train(
            [Shard(render, [row], tmp_path)], 10, tmp_path / f"{tether}.safetensors", model
        ):
            pass
        texture = vae.to_model(leaves.picture(64, np.random.default_rng(5))[None])
        return tuple(
            float(vae.moved(before, x, model.encode(x).latent_dist.mean).detach())
            for x in (pixels, texture)
        )  # type: ignore[return-value]

    (free, _), (tethered, elsewhere) = after(0.0), after(100.0)
    assert tethered < free / 2
    assert elsewhere > tethered


def test_a_linear_code_has_sixteen_numbers_a_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def pictures(patterns: int) -> np.ndarray:
        """Every block another mixture of as many patterns."""
        mixture = rng.random((2, 16, 16, patterns))
        of = rng.uniform(0, 255 / patterns, (patterns, 8, 8, 3))
        return (
            np.einsum("nyxk,khwc->nyhxwc", mixture, of)
            .reshape(2, 128, 128, 3)
            .round()
            .astype(np.uint8)
        )

    few, many = pictures(15), pictures(64)
    assert vae.linear_code(few) > 55  # all but the rounding
    assert vae.linear_code(many) < 45
    with pytest.raises(InputError, match="There are no photographs in"):
        vae.photographs(tmp_path)
