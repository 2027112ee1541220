"""LoRA files of FLUX.2 [klein]: read by every name that programs give its layers, written as
diffusers and ComfyUI name them, and told from those of FLUX.1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fluxbooth import InputError
from fluxbooth.lora import file as lora_file
from fluxbooth.lora import layers as lora_layers
from fluxbooth.lora.convert import convert
from fluxbooth.models import registry
from tests.support.lora_files import Pair, named, pair, products, underscored

D, RANK = 32, 4  # a width at which fused layers are small
Q, OUT = "transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_out.0"
ENTRANCE, EXIT = "transformer_blocks.0.ff.linear_in", "transformer_blocks.0.ff_context.linear_out"
FUSED = "single_transformer_blocks.1.attn.to_qkv_mlp_proj"
SINGLE_OUT = "single_transformer_blocks.1.attn.to_out"
OWN = {Q: (D, D), OUT: (D, D), ENTRANCE: (6 * D, D), EXIT: (D, 3 * D)}
OWN |= {FUSED: (9 * D, D), SINGLE_OUT: (D, 4 * D)}
QKV = [f"transformer_blocks.0.attn.{part}" for part in ("to_q", "to_k", "to_v")]
ADDED = [f"transformer_blocks.0.attn.add_{x}_proj" for x in "qkv"]
ORIGINAL = {
    "double_blocks.0.img_attn.qkv": (3 * D, D),
    "double_blocks.0.img_mlp.0": (6 * D, D),
    "double_blocks.0.txt_attn.proj": (D, D),
    "double_blocks.0.txt_mlp.2": (D, 3 * D),
    "single_blocks.1.linear1": (9 * D, D),
    "single_blocks.1.linear2": (D, 4 * D),
}
SHARED = {
    "double_stream_modulation_img.lin": (6 * D, D),
    "single_stream_modulation.lin": (3 * D, D),
}


def by_diffusers_names(changes: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of changes by the original's names, written out by hand."""
    renamed = {
        "double_blocks.0.img_mlp.0": ENTRANCE,
        "double_blocks.0.txt_attn.proj": "transformer_blocks.0.attn.to_add_out",
        "double_blocks.0.txt_mlp.2": EXIT,
        "single_blocks.1.linear1": FUSED,
        "single_blocks.1.linear2": SINGLE_OUT,
        "double_stream_modulation_img.lin": "double_stream_modulation_img.linear",
        "single_stream_modulation.lin": "single_stream_modulation.linear",
    }
    found: dict[str, Tensor] = {}
    for name, change in changes.items():
        if name.endswith("qkv"):
            found |= dict(zip(QKV, change.chunk(3), strict=True))
        else:
            found[renamed[name]] = change
    return found


def pairs(sizes: Mapping[str, tuple[int, int]]) -> dict[str, Pair]:
    return {layer: pair(*size, RANK) for layer, size in sizes.items()}


def cases() -> dict[str, tuple[dict[str, Tensor], dict[str, Tensor], str]]:
    """Tensors of a file, the changes that they mean, and how the file's format is called."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        own, theirs, shared = pairs(OWN), pairs(ORIGINAL), pairs(SHARED)
        whole = by_diffusers_names(products(theirs))
        w1, w2 = torch.randn(4, 4), torch.randn(3 * D // 4, D // 4)
        split = {f"double_blocks.0.txt_attn.qkv.{number}": pair(D, D, RANK) for number in range(3)}
    kron = dict(zip(QKV, torch.kron(w1, w2).chunk(3), strict=True))
    lokr = {"lokr_w1": w1, "lokr_w2": w2, "alpha": torch.tensor(1.0)}
    qkv = "double_blocks.0.img_attn.qkv"
    lycoris = {f"lycoris_{Q.replace('.', '_')}.{end}": v for end, v in lokr.items()}
    lycoris[f"lycoris_{Q.replace('.', '_')}.lokr_w2"] = w2[: D // 4]
    of_split = products(dict(zip(ADDED, split.values(), strict=True)))
    halved = {name: value / 2 for name, value in whole.items()}
    fused = "transformer.transformer_blocks.0.attn.to_qkv"
    return {
        "diffusers": (named(own), products(own), "diffusers"),
        "peft": (named(own, "base_model.model."), products(own), "diffusers"),
        "ai_toolkit": (named(theirs, "diffusion_model."), whole, "original"),
        "ai_toolkit_by_diffusers_names": (
            named(own, "diffusion_model."),
            products(own),
            "diffusers",
        ),
        "kohya": (underscored(theirs, alpha=RANK), whole, "kohya"),
        "kohya_alpha": (underscored(theirs, alpha=RANK / 2), halved, "kohya"),
        "kohya_split": (underscored(split, alpha=RANK), of_split, "kohya"),
        "onetrainer": (
            underscored(own, "lora_transformer_", RANK),
            products(own),
            "onetrainer",
        ),
        "shared_modulation": (
            named(theirs | shared, "diffusion_model."),
            whole | by_diffusers_names(products(shared)),
            "original",
        ),
        "lokr": ({f"diffusion_model.{qkv}.{end}": v for end, v in lokr.items()}, kron, "original"),
        "lokr_of_diffusers": ({f"{fused}.{end}": v for end, v in lokr.items()}, kron, "diffusers"),
        "lycoris": (lycoris, {Q: torch.kron(w1, w2[: D // 4])}, "lycoris"),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_every_programs_file_means_its_change(name: str, tmp_path: Path) -> None:
    tensors, changes, naming = CASES[name]
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, tmp_path / "a.safetensors")
    metadata = None
    if name in ("lokr", "lokr_of_diffusers", "lycoris", "kohya_split"):
        # layers that FLUX.1 has, too, are told apart by the header alone
        metadata = {"modelspec.architecture": "Flux.2-klein-4b/lora"}
        save_file(load_file(tmp_path / "a.safetensors"), tmp_path / "a.safetensors", metadata)
    file = lora_file.read(tmp_path / "a.safetensors")
    assert (file.family, file.format) == ("flux2", naming)
    found = {layer: made.change.matrix() for layer, made in lora_layers.read(file).items()}
    assert found.keys() == changes.keys()
    for layer, change in changes.items():
        torch.testing.assert_close(found[layer], change, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["diffusers", "ai_toolkit", "kohya_alpha", "onetrainer"])
@pytest.mark.parametrize("to", ["diffusers", "kohya"])
def test_diffusers_own_loader_reads_what_is_written_as_the_same(
    name: str, to: str, tmp_path: Path
) -> None:
    tensors, changes, _ = CASES[name]
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", to)
    theirs = Flux2KleinPipeline.lora_state_dict(tmp_path / "b.safetensors")
    layers = {key.removesuffix(".lora_A.weight") for key in theirs if "lora_A" in key}
    assert {layer.removeprefix("transformer.") for layer in layers} >= changes.keys()
    for layer in layers:
        change = theirs.pop(f"{layer}.lora_B.weight") @ theirs.pop(f"{layer}.lora_A.weight")
        expected = changes.get(layer.removeprefix("transformer."), torch.zeros_like(change))
        torch.testing.assert_close(change, expected, rtol=1e-4, atol=1e-4)
    assert not theirs


def test_the_keys_of_the_whole_4b_are_those_of_diffusers_and_comfyui(tmp_path: Path) -> None:
    """ComfyUI knows a layer by `lora_unet_` and its name in the original network, with underscores;
    the original's names are those that diffusers' own reader takes apart."""
    with torch.device("meta"):
        network = Flux2Transformer2DModel(
            num_layers=5,
            num_single_layers=20,
            num_attention_heads=24,
            joint_attention_dim=7680,
            guidance_embeds=False,
        )
    blocks = {
        name: m
        for name, m in network.named_modules()
        if isinstance(m, nn.Linear) and "transformer_blocks." in name
    }
    assert sum(2 * (m.in_features + m.out_features) for m in blocks.values()) == 2 * 490 * 3072
    own = {
        name: (torch.ones(2, m.in_features), torch.ones(m.out_features, 2))
        for name, m in blocks.items()
    }
    own = {name: (a.bfloat16(), b.bfloat16()) for name, (a, b) in own.items()}
    save_file(named(own), tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "k.safetensors", "kohya")
    kohya = load_file(tmp_path / "k.safetensors")
    streams = ("attn_qkv", "attn_proj", "mlp_0", "mlp_2")
    assert {name.partition(".")[0] for name in kohya} == {
        *(
            f"lora_unet_double_blocks_{number}_{stream}_{part}"
            for number in range(5)
            for stream in ("img", "txt")
            for part in streams
        ),
        *(
            f"lora_unet_single_blocks_{number}_{part}"
            for number in range(20)
            for part in ("linear1", "linear2")
        ),
    }
    theirs = Flux2KleinPipeline.lora_state_dict(tmp_path / "k.safetensors")
    assert {name: tuple(value.shape) for name, value in theirs.items()} == {
        name: tuple(value.shape) for name, value in named(own).items()
    }
    convert(tmp_path / "k.safetensors", tmp_path / "d.safetensors", "diffusers")
    again = load_file(tmp_path / "d.safetensors")
    assert again.keys() == named(own).keys()
    assert all(torch.equal(again[name], value) for name, value in named(own).items())


def test_loras_of_one_family_are_refused_for_the_other(tmp_path: Path) -> None:
    klein, flux1 = tmp_path / "klein.safetensors", tmp_path / "flux1.safetensors"
    save_file(named(pairs(OWN)), klein)
    save_file(named(pairs({Q: (D, D), "transformer_blocks.0.norm1.linear": (6 * D, D)})), flux1)
    with pytest.raises(
        InputError, match=r"klein\.safetensors is a LoRA for FLUX\.2, and nano is FLUX\.1"
    ):
        lora_file.read(klein, registry.find("nano"))
    with pytest.raises(
        InputError, match=r"flux1\.safetensors is a LoRA for FLUX\.1, and flux2-klein is FLUX\.2"
    ):
        lora_file.read(flux1, registry.find("flux2-klein"))


@pytest.mark.parametrize("base", ["flux-dev", "flux2-klein"])
def test_what_both_have_is_of_the_base_it_is_used_with_unless_its_header_says(
    base: str, tmp_path: Path
) -> None:
    row, path = registry.find(base), tmp_path / "attention.safetensors"
    save_file(named(pairs({Q: (D, D)})), path)
    assert lora_file.read(path, row).family == row.family
    other = "Flux.2-klein-4b/lora" if row.family == "flux1" else "flux-1-dev/lora"
    save_file(named(pairs({Q: (D, D)})), path, {"modelspec.architecture": other})
    with pytest.raises(InputError, match=rf"as its header says \('{other}'\), and {base} is"):
        lora_file.read(path, row)


def test_layers_of_neither_are_refused_by_the_nearest(tmp_path: Path) -> None:
    """What has FLUX.2's names but other sizes, and what is FLUX 3's."""
    odd = {FUSED: (8 * D, D), ENTRANCE: (6 * D, D)}
    save_file(named(pairs(odd)), tmp_path / "odd.safetensors")
    with pytest.raises(InputError, match=r"256 outputs and 32 inputs, which FLUX\.2 does not"):
        lora_file.read(tmp_path / "odd.safetensors")
    later = {"content_mode_blocks.0.q_proj": (D, D), "single_blocks.0.mlp_in": (6 * D, D)}
    save_file(named(pairs(later), "diffusion_model."), tmp_path / "later.safetensors")
    with pytest.raises(InputError, match="is for FLUX 3"):
        lora_file.read(tmp_path / "later.safetensors")
    single = {"single_transformer_blocks.0.attn.to_q": (D, D)}  # as FLUX.1 has it, too
    said = {"modelspec.architecture": "flux-3-image-klein/lora"}
    save_file(named(pairs(single)), tmp_path / "later.safetensors", said)
    with pytest.raises(InputError, match=r"is for FLUX 3 \(its header says"):
        lora_file.read(tmp_path / "later.safetensors")
