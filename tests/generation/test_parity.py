"""What we compute is what plain diffusers and an independent loop compute."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline
from PIL import Image

from fluxbooth import GenerateSpec, generate
from fluxbooth.models.flux1.bases import NANO

TEXT = "a man with glasses, wearing a red hoodie, at the beach"
# run in a folder of its own with an interpreter that finds no fluxbooth
PLAIN_DIFFUSERS = """
import importlib.util, sys, torch
sys.path[:] = [p for p in sys.path if not p.rstrip("/").endswith(("/src", "fluxbooth"))]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
assert importlib.util.find_spec("fluxbooth") is None
from diffusers import FluxPipeline
torch.set_num_threads(2)
folder, lora, text = sys.argv[1:]
pipeline = FluxPipeline.from_pretrained(folder)
for name in ("plain", "personal"):
    if name == "personal":
        pipeline.load_lora_weights(lora)
    pictures = pipeline(text, width=128, height=128, num_inference_steps=28, guidance_scale=3.5, max_sequence_length=72,
                        generator=torch.Generator().manual_seed(7)).images
    pictures[0].save(name + ".png")
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory, lora: Path) -> Path:
    """The folder of what plain diffusers draws: `plain.png`, and `personal.png` with the LoRA."""
    folder = tmp_path_factory.mktemp("theirs")
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {
        "HF_HUB_OFFLINE": "1"
    }
    command = [sys.executable, "-c", PLAIN_DIFFUSERS, str(NANO), str(lora), TEXT]
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    return folder


def test_nano_draws_the_same_picture_in_plain_diffusers(theirs: Path) -> None:
    ours = generate([TEXT], GenerateSpec(base="nano", seed=7))[0].image
    assert largest_difference(ours, Image.open(theirs / "plain.png")) <= 1
    assert np.asarray(ours).std() > 10  # a picture, not a flat field


def test_our_lora_draws_the_same_picture_in_plain_diffusers(theirs: Path, lora: Path) -> None:
    with_lora = generate([TEXT], GenerateSpec(base="nano", seed=7, loras=(str(lora),)))[0].image
    assert largest_difference(with_lora, Image.open(theirs / "personal.png")) <= 1
    # the LoRA does something
    assert largest_difference(with_lora, Image.open(theirs / "plain.png")) > 20


def test_twenty_lines_of_euler_give_the_same_latents() -> None:
    pipeline = FluxPipeline.from_pretrained(NANO)
    pipeline.set_progress_bar_config(disable=True)
    steps, tokens = 12, 64
    theirs = pipeline(
        TEXT,
        width=128,
        height=128,
        num_inference_steps=steps,
        guidance_scale=3.5,
        max_sequence_length=72,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images
    mu = 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)
    sigmas = [1 - i * (1 - 1 / steps) / (steps - 1) for i in range(steps)]
    sigmas = [np.exp(mu) / (np.exp(mu) + 1 / s - 1) for s in sigmas] + [0.0]
    with torch.no_grad():
        states, pooled, text_ids = pipeline.encode_prompt(TEXT, max_sequence_length=72)
        noise = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(3))
        x = noise.reshape(1, 16, 8, 2, 8, 2).permute(0, 2, 4, 1, 3, 5).reshape(1, 64, 64)
        image_ids = torch.tensor([[0.0, row, column] for row in range(8) for column in range(8)])
        for sigma, after in itertools.pairwise(sigmas):
            velocity = pipeline.transformer(
                x,
                timestep=torch.tensor([sigma], dtype=torch.float32),
                guidance=torch.tensor([3.5]),
                encoder_hidden_states=states,
                pooled_projections=pooled,
                txt_ids=text_ids,
                img_ids=image_ids,
            ).sample
            x = x + (after - sigma) * velocity
    assert (x - theirs).abs().max() < 1e-4


def largest_difference(a: Image.Image, b: Image.Image) -> int:
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max())
