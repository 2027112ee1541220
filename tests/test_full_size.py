"""FLUX.1-dev at its full size, on the meta device: what is counted and named, not computed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import nn

from fluxbooth.lora import file as lora_file
from fluxbooth.lora import training as lora_training
from fluxbooth.lora.convert import convert
from fluxbooth.models import registry
from fluxbooth.models.flux1.family import Flux1

DOUBLE = [
    f"attn.{part}"
    for part in (
        "to_q",
        "to_k",
        "to_v",
        "to_out.0",
        "add_q_proj",
        "add_k_proj",
        "add_v_proj",
        "to_add_out",
    )
]
DOUBLE += [
    "ff.net.0.proj",
    "ff.net.2",
    "ff_context.net.0.proj",
    "ff_context.net.2",
    "norm1.linear",
    "norm1_context.linear",
]
SINGLE = ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp", "proj_out", "norm.linear"]
KOHYA_DOUBLE = [
    f"{stream}_{part}"
    for stream in ("img", "txt")
    for part in ("attn_qkv", "attn_proj", "mlp_0", "mlp_2", "mod_lin")
]
KOHYA_SINGLE = ["linear1", "linear2", "modulation_lin"]


@pytest.fixture(scope="module")
def dev() -> Flux1:
    with torch.device("meta"):
        network = FluxTransformer2DModel(
            in_channels=64,
            num_layers=19,
            num_single_layers=38,
            attention_head_dim=128,
            num_attention_heads=24,
            joint_attention_dim=4096,
            pooled_projection_dim=768,
            guidance_embeds=True,
            axes_dims_rope=(16, 56, 56),
        )
    pipeline = FluxPipeline(
        FlowMatchEulerDiscreteScheduler(), None, None, None, None, None, network
    )
    return Flux1(registry.BASES["flux-dev"], pipeline, torch.bfloat16)


@pytest.fixture(scope="module")
def trainable(dev: Flux1) -> list[nn.Parameter]:
    assert sum(p.numel() for p in dev.network.parameters()) == 11_901_408_320
    return lora_training.add(dev, rank=16, seed=0)


def test_a_lora_of_rank_16_on_every_linear_of_the_blocks(
    dev: Flux1, trainable: list[nn.Parameter]
) -> None:
    assert all(p.dtype == torch.float32 for p in trainable)
    tensors = lora_training.tensors(dev)
    # inputs + outputs of every layer, 16 times
    double = 8 * (3072 + 3072) + 4 * (3072 + 12288) + 2 * (3072 + 6 * 3072)
    single = 3 * (3072 + 3072) + (3072 + 12288) + (3072 + 12288 + 3072) + (3072 + 3 * 3072)
    assert sum(p.numel() for p in trainable) == 16 * (19 * double + 38 * single) == 85_917_696
    assert sum(t.numel() * torch.bfloat16.itemsize for t in tensors.values()) == 171_835_392
    blocks = [(f"transformer.transformer_blocks.{i}", DOUBLE) for i in range(19)]
    blocks += [(f"transformer.single_transformer_blocks.{i}", SINGLE) for i in range(38)]
    assert tensors.keys() == {
        f"{block}.{layer}.lora_{ab}.weight"
        for block, layers in blocks
        for layer in layers
        for ab in "AB"
    }


def test_its_files_have_the_names_that_diffusers_and_kohya_use(
    dev: Flux1, trainable: list[nn.Parameter], tmp_path: Path
) -> None:
    """At rank 1 the whole network's LoRA is 11 MB.

    The header stays under the limit of `lorafile`.
    """
    thin = {
        name: torch.ones(1, t.shape[1]) if name.endswith("A.weight") else torch.ones(len(t), 1)
        for name, t in lora_training.tensors(dev).items()
    }
    save_file({name: t.bfloat16() for name, t in thin.items()}, tmp_path / "ohwx.safetensors")
    lora_training.check(tmp_path / "ohwx.safetensors", dev)
    convert(tmp_path / "ohwx.safetensors", tmp_path / "kohya.safetensors", "kohya")
    names = {f"lora_unet_double_blocks_{i}_{layer}" for i in range(19) for layer in KOHYA_DOUBLE}
    names |= {f"lora_unet_single_blocks_{i}_{layer}" for i in range(38) for layer in KOHYA_SINGLE}
    shapes = lora_file.read(tmp_path / "kohya.safetensors").shapes
    assert shapes.keys() == {
        f"{name}.{end}" for name in names for end in ("lora_down.weight", "lora_up.weight", "alpha")
    }
    read = FluxPipeline.lora_state_dict(tmp_path / "kohya.safetensors")
    assert read.keys() == thin.keys()
    convert(tmp_path / "kohya.safetensors", tmp_path / "again.safetensors", "diffusers")
    first = load_file(tmp_path / "ohwx.safetensors")
    again = load_file(tmp_path / "again.safetensors")
    assert again.keys() == first.keys()
    assert all(
        torch.equal(again[name], value) and torch.equal(read[name], value)
        for name, value in first.items()
    )
