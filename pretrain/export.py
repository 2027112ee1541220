"""The trained parts as a folder that plain diffusers loads, and the reader beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline
from safetensors.torch import save_file

from fluxbooth.generation.enhance.segmenter import Segmenter
from fluxbooth.models.attribute_reader import Reader
from pretrain import vae
from pretrain.attributes import Answers
from pretrain.transformer import Nano


def pipeline(model: Nano, decoder: AutoencoderKL, folder: Path) -> None:
    """Transformer and autoencoder in bfloat16 to halve the download; the encoders in float32,
    as transformers keeps what it finds."""
    decoder.register_to_config(_name_or_path="")  # else the folder that it was read from
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        shift=3.0,
        base_shift=0.5,
        max_shift=1.15,
        base_image_seq_len=256,
        max_image_seq_len=4096,
    )
    FluxPipeline(
        scheduler=scheduler,
        vae=decoder.to(torch.bfloat16),
        text_encoder=model.text_encoder,
        tokenizer=model.clip,
        text_encoder_2=model.text_encoder_2,
        tokenizer_2=model.t5,
        transformer=model.transformer.to(torch.bfloat16),
    ).save_pretrained(folder)


def reader(model: Reader, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.to(torch.bfloat16) if value.is_floating_point() else value
        for name, value in model.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors", {"attributes": json.dumps(model.attributes)})


def segmenter(model: Segmenter, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(tensors, folder / "model.safetensors")


def copy(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(source / "model.safetensors", target / "model.safetensors")


@torch.no_grad()
def reader_accuracy(
    model: Reader, pictures: np.ndarray, answers: Sequence[Answers], decoder: AutoencoderKL
) -> dict[str, tuple[float, float]]:
    """Per attribute, and of all: share read right on pictures (uint8 n x H x W x 3) and on
    their reconstructions."""
    pixels = vae.to_model(pictures)
    decoded = torch.cat([decoder(part).sample for part in pixels.split(50)])
    right: dict[str, list[torch.Tensor]] = {}
    for name, values in model.attributes.items():
        wanted = torch.tensor([values.index(row[name]) if name in row else -1 for row in answers])
        read = [
            torch.cat([model(p)[name].argmax(1) for p in x.split(50)]) for x in (pixels, decoded)
        ]
        right[name] = [x.eq(wanted)[wanted >= 0].float() for x in read]
    right["all"] = [torch.cat(hits) for hits in zip(*right.values(), strict=True)]
    return {
        name: (round(plain.mean().item(), 4), round(blurred.mean().item(), 4))
        for name, (plain, blurred) in right.items()
    }
