"""LoRAs from format to format, at FLUX.1's real width and with nano's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fluxbooth import InputError
from fluxbooth.cli.main import main
from fluxbooth.lora import file as lora_file
from fluxbooth.lora.convert import convert, for_comfyui

RANK = 4
BLOCKS = ("transformer_blocks.", "single_transformer_blocks.")
LINEAR1 = "lora_unet_single_blocks_0_linear1"
SINGLE = "transformer.single_transformer_blocks.0."


def pair(
    inputs: int, outputs: int, rank: int = RANK, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    return {
        "lora_A.weight": torch.randn(rank, inputs).to(dtype),
        "lora_B.weight": torch.randn(outputs, rank).to(dtype),
    }


@pytest.fixture(scope="module")
def real() -> dict[str, Tensor]:
    """A random LoRA on every Linear of one double and one single block of FLUX.1, by diffusers'
    names."""
    torch.manual_seed(0)
    with torch.device("meta"):
        network = FluxTransformer2DModel(num_layers=1, num_single_layers=1, guidance_embeds=True)
    linears = {
        name: m
        for name, m in network.named_modules()
        if isinstance(m, nn.Linear) and name.startswith(BLOCKS)
    }
    assert linears["single_transformer_blocks.0.proj_mlp"].weight.shape == (12288, 3072)
    return {
        f"transformer.{name}.{end}": value
        for name, linear in linears.items()
        for end, value in pair(linear.in_features, linear.out_features).items()
    }


def delta(tensors: dict[str, Tensor], layer: str) -> Tensor:
    """W - W_0"""
    return tensors[f"{layer}.lora_B.weight"].float() @ tensors[f"{layer}.lora_A.weight"].float()


def same_deltas(
    ours: dict[str, Tensor], theirs: dict[str, Tensor], scale: float = 1.0, tolerance: float = 1e-5
) -> None:
    """Each layer changes its weights alike; one layer's in memory at a time, none where even
    the factors are the same."""
    layers = {
        name.removesuffix(".lora_A.weight") for name in ours if name.endswith("lora_A.weight")
    }
    assert theirs.keys() == {
        f"{layer}.{end}" for layer in layers for end in ("lora_A.weight", "lora_B.weight")
    }
    for layer in layers:
        if scale == 1 and all(
            torch.equal(ours[f"{layer}.lora_{ab}.weight"], theirs[f"{layer}.lora_{ab}.weight"])
            for ab in "AB"
        ):
            continue
        mine = scale * delta(ours, layer)
        assert (mine - delta(theirs, layer)).abs().max() <= tolerance * mine.abs().max(), layer


def in_diffusers(path: Path) -> dict[str, Tensor]:
    """What diffusers' own loader makes of a file. It scales the weights by alpha itself."""
    tensors, alphas, metadata = FluxPipeline.lora_state_dict(
        path, return_alphas=True, return_lora_metadata=True
    )
    assert not alphas
    assert not metadata
    return tensors


def test_diffusers_reads_our_kohya_file_as_the_same_weights(
    tmp_path: Path, real: dict[str, Tensor]
) -> None:
    save_file(real, tmp_path / "a.safetensors")
    done = convert(tmp_path / "a.safetensors", tmp_path / "k.safetensors", "kohya")
    assert (done["rank"], done["layers"], done["left_out"]) == (RANK, 14 + 6, [])
    same_deltas(real, in_diffusers(tmp_path / "k.safetensors"), tolerance=0)
    names = {
        name.split(".")[0].removeprefix("lora_unet_")
        for name in load_file(tmp_path / "k.safetensors")
    }
    streams = {
        f"double_blocks_0_{s}_{part}"
        for s in ("img", "txt")
        for part in ("attn_qkv", "attn_proj", "mlp_0", "mlp_2", "mod_lin")
    }
    assert names == streams | {
        f"single_blocks_0_{part}" for part in ("linear1", "linear2", "modulation_lin")
    }


def test_a_fused_layer_moves_its_rows_as_the_parts_move_theirs(
    tmp_path: Path, real: dict[str, Tensor]
) -> None:
    """By the kohya loaders' own formula, W + alpha / rank * up @ down, over rows q, k, v, mlp,
    and without alpha the same."""
    save_file(real, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "k.safetensors", "kohya")
    kohya = load_file(tmp_path / "k.safetensors")
    down, up, alpha = (
        kohya[f"{LINEAR1}.{end}"] for end in ("lora_down.weight", "lora_up.weight", "alpha")
    )
    assert alpha.item() == len(down) == 4 * RANK
    start = 0
    for part in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"):
        mine = real[f"{SINGLE}{part}.lora_B.weight"] @ real[f"{SINGLE}{part}.lora_A.weight"]
        theirs = up[start : start + len(mine)] @ down
        assert (mine - theirs).abs().max() < 1e-4
        start += len(mine)
    assert start == len(up) == 3 * 3072 + 12288


@pytest.mark.parametrize("where", ["alpha", "metadata", "rslora"])
def test_a_strength_other_than_one_goes_into_the_weights(
    tmp_path: Path, real: dict[str, Tensor], where: str
) -> None:
    real = {
        name: value
        for name, value in real.items()
        if "add_" in name or "single_transformer_blocks.0.norm" in name
    }
    told = {
        "transformer.r": RANK,
        "transformer.lora_alpha": 6 if where == "rslora" else 12,
        "transformer.use_rslora": where == "rslora",
    }
    layers = {
        name.removesuffix(".lora_A.weight") for name in real if name.endswith("lora_A.weight")
    }
    alphas = {f"{layer}.alpha": torch.tensor(12.0) for layer in layers} if where == "alpha" else {}
    save_file(
        real | alphas,
        tmp_path / "a.safetensors",
        None if where == "alpha" else {"lora_adapter_metadata": json.dumps(told)},
    )
    convert(tmp_path / "a.safetensors", tmp_path / "k.safetensors", "kohya")
    same_deltas(real, in_diffusers(tmp_path / "k.safetensors"), scale=3.0)
    convert(tmp_path / "a.safetensors", tmp_path / "d.safetensors", "diffusers")
    same_deltas(real, load_file(tmp_path / "d.safetensors"), scale=3.0)


def test_the_strength_of_one_layer_may_differ(tmp_path: Path) -> None:
    tensors = {
        f"{SINGLE}attn.{part}.{end}": value
        for part in ("to_q", "to_k")
        for end, value in pair(64, 64).items()
    }
    told = {
        "transformer.lora_alpha": RANK,
        "transformer.alpha_pattern": {"^single_transformer_blocks.0.attn.to_k": 2 * RANK},
    }
    save_file(tensors, tmp_path / "a.safetensors", {"lora_adapter_metadata": json.dumps(told)})
    convert(tmp_path / "a.safetensors", tmp_path / "d.safetensors", "diffusers")
    written = load_file(tmp_path / "d.safetensors")
    for part, strength in (("to_q", 1), ("to_k", 2)):
        name = f"{SINGLE}attn.{part}.lora_B.weight"
        assert torch.equal(written[name], strength * tensors[name])


def test_a_kohya_file_with_alpha_of_its_own_is_read_as_diffusers_reads_it(
    tmp_path: Path, real: dict[str, Tensor]
) -> None:
    save_file(real, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "k.safetensors", "kohya")
    tensors = load_file(tmp_path / "k.safetensors")
    tensors = {name: value for name, value in tensors.items() if "linear" in name}
    tensors |= {name: torch.tensor(1.5) for name in tensors if name.endswith("alpha")}
    save_file(tensors, tmp_path / "k2.safetensors")
    convert(tmp_path / "k2.safetensors", tmp_path / "d.safetensors", "diffusers")
    same_deltas(load_file(tmp_path / "d.safetensors"), in_diffusers(tmp_path / "k2.safetensors"))


def test_a_dense_fused_layer_is_split_exactly_and_fused_again(tmp_path: Path) -> None:
    """As kohya trains them: one A for q, k, v and mlp."""
    down, up = torch.randn(RANK, 3072), torch.randn(3 * 3072 + 12288, RANK)
    tensors = {
        f"{LINEAR1}.lora_down.weight": down,
        f"{LINEAR1}.lora_up.weight": up,
        f"{LINEAR1}.alpha": torch.tensor(float(RANK)),
    }
    save_file(tensors, tmp_path / "k.safetensors")
    convert(tmp_path / "k.safetensors", tmp_path / "d.safetensors", "diffusers")
    same_deltas(
        load_file(tmp_path / "d.safetensors"), in_diffusers(tmp_path / "k.safetensors"), tolerance=0
    )
    convert(tmp_path / "d.safetensors", tmp_path / "k2.safetensors", "kohya")
    again = load_file(tmp_path / "k2.safetensors")
    assert all(torch.equal(again[name], value) for name, value in tensors.items())


def test_parts_of_other_ranks_or_absent_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {
        f"{SINGLE}attn.{part}.{end}": value
        for part, rank in (("to_q", 2), ("to_v", 5))
        for end, value in pair(3072, 3072, rank, torch.bfloat16).items()
    }
    save_file(tensors, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "k.safetensors", "kohya")
    theirs = {
        name: value
        for name, value in in_diffusers(tmp_path / "k.safetensors").items()
        if value.any()
    }
    same_deltas(tensors, theirs, tolerance=0)
    convert(tmp_path / "k.safetensors", tmp_path / "d.safetensors", "diffusers")
    again = load_file(tmp_path / "d.safetensors")
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], value) for name, value in tensors.items())
    told = json.loads(lora_file.read(tmp_path / "d.safetensors").metadata["lora_adapter_metadata"])
    assert sorted({told["transformer.r"], *told["transformer.rank_pattern"].values()}) == [2, 5]
    assert told["transformer.rank_pattern"] == told["transformer.alpha_pattern"]


def test_layers_outside_the_blocks_have_the_names_that_diffusers_knows(tmp_path: Path) -> None:
    sizes = {
        "x_embedder": (64, 3072),
        "context_embedder": (4096, 3072),
        "proj_out": (3072, 64),
        "norm_out.linear": (3072, 6144),
        "time_text_embed.timestep_embedder.linear_1": (256, 3072),
        "time_text_embed.timestep_embedder.linear_2": (3072, 3072),
        "time_text_embed.text_embedder.linear_1": (768, 3072),
        "time_text_embed.text_embedder.linear_2": (3072, 3072),
        "time_text_embed.guidance_embedder.linear_1": (256, 3072),
        "time_text_embed.guidance_embedder.linear_2": (3072, 3072),
    }
    tensors = {
        f"transformer.{name}.{end}": value
        for name, size in sizes.items()
        for end, value in pair(*size).items()
    }
    save_file(tensors, tmp_path / "a.safetensors")
    convert(tmp_path / "a.safetensors", tmp_path / "k.safetensors", "kohya")
    theirs = {
        f"transformer.{name}": value
        for name, value in in_diffusers(tmp_path / "k.safetensors").items()
    }
    same_deltas(tensors, theirs, tolerance=0)
    convert(tmp_path / "k.safetensors", tmp_path / "d.safetensors", "diffusers")
    same_deltas(tensors, load_file(tmp_path / "d.safetensors"), tolerance=0)


def test_nanos_lora_comes_back_bit_for_bit_with_its_metadata(tmp_path: Path, lora: Path) -> None:
    convert(lora, tmp_path / "k.safetensors", "kohya")
    convert(tmp_path / "k.safetensors", tmp_path / "d.safetensors", "diffusers")
    before, between, after = (
        lora_file.read(path)
        for path in (lora, tmp_path / "k.safetensors", tmp_path / "d.safetensors")
    )
    first, last = load_file(lora), load_file(after.path)
    assert first.keys() == last.keys()
    assert all(torch.equal(first[name], last[name]) for name in first)
    assert before.spec == between.spec == after.spec
    assert before.trigger == after.trigger == "ohwx man"
    assert (before.rank, between.rank, after.rank) == (4, 4, 4)
    assert [file.ours.get("format") for file in (before, between, after)] == [
        None,
        "kohya",
        "diffusers",
    ]
    assert (
        after.metadata["sshs_model_hash"]
        == before.metadata["sshs_model_hash"]
        != between.metadata["sshs_model_hash"]
    )
    # it describes layers that the file does not name
    assert "lora_adapter_metadata" not in between.metadata


def test_a_converted_lora_loads_in_diffusers_and_draws_the_same(tmp_path: Path, lora: Path) -> None:
    from fluxbooth.models.flux1.bases import NANO

    convert(lora, tmp_path / "k.safetensors", "kohya")
    convert(tmp_path / "k.safetensors", tmp_path / "d.safetensors", "diffusers")
    latents = []
    for path in (lora, tmp_path / "d.safetensors"):
        told = json.loads(lora_file.read(path).metadata["lora_adapter_metadata"])[
            "transformer.target_modules"
        ]
        assert set(told) == {
            name.removeprefix("transformer.").split(".lora_")[0] for name in load_file(path)
        }
        pipeline = FluxPipeline.from_pretrained(NANO)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.load_lora_weights(str(path))
        latents.append(
            pipeline(
                "a man",
                width=128,
                height=128,
                num_inference_steps=2,
                generator=torch.Generator().manual_seed(1),
                output_type="latent",
            ).images
        )
    torch.testing.assert_close(*latents, rtol=0, atol=1e-4)


def test_a_dora_stays_in_diffusers_format(tmp_path: Path) -> None:
    magnitude = {f"{SINGLE}attn.to_q.lora_magnitude_vector": torch.rand(64)}
    tensors = {f"{SINGLE}attn.to_q.{end}": value for end, value in pair(64, 64).items()} | magnitude
    save_file(tensors, tmp_path / "dora.safetensors")
    with pytest.raises(InputError, match=r"dora\.safetensors is a DoRA.*drop in silence"):
        convert(tmp_path / "dora.safetensors", tmp_path / "k.safetensors", "kohya")
    assert not (tmp_path / "k.safetensors").exists()
    convert(tmp_path / "dora.safetensors", tmp_path / "d.safetensors", "diffusers")
    written = load_file(tmp_path / "d.safetensors")
    assert all(torch.equal(written[name], value) for name, value in tensors.items())
    assert (
        json.loads(lora_file.read(tmp_path / "d.safetensors").metadata["lora_adapter_metadata"])[
            "transformer.use_dora"
        ]
        is True
    )


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {
                "lora_unet_down_blocks_0_attn.lora_down.weight": (4, 8),
                "lora_unet_down_blocks_0_attn.lora_up.weight": (8, 4),
            },
            "Stable Diffusion",
        ),
        (
            {
                "transformer.blocks.0.to_q.lora_A.weight": (4, 8),
                "transformer.blocks.0.to_q.lora_B.weight": (8, 4),
            },
            "does not have",
        ),
        (
            {f"{SINGLE}proj_mlp.lora_A.weight": (4, 8), f"{SINGLE}proj_mlp.lora_B.weight": (8, 4)},
            "8 outputs",
        ),
        ({f"{LINEAR1}.lora_down.weight": (4, 8), f"{LINEAR1}.lora_up.weight": (8, 4)}, "8 outputs"),
        ({f"{SINGLE}proj_mlp.lora_A.weight": (4, 8)}, "only a part"),
        (
            {f"{SINGLE}proj_mlp.lora_A.weight": (4, 8), f"{SINGLE}proj_mlp.lora_B.weight": (32, 3)},
            "do not fit each other",
        ),
        (
            {"lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (4, 8)},
            "text encoders alone",
        ),
    ],
)
def test_what_is_no_flux_lora_is_refused_by_name(
    tmp_path: Path, tensors: dict[str, tuple[int, int]], message: str
) -> None:
    save_file(
        {name: torch.ones(shape) for name, shape in tensors.items()}, tmp_path / "odd.safetensors"
    )
    with pytest.raises(InputError, match=rf"odd\.safetensors.*{message}"):
        convert(tmp_path / "odd.safetensors", tmp_path / "k.safetensors", "kohya")
    assert not (tmp_path / "k.safetensors").exists()


@pytest.mark.parametrize(
    "told",
    ["{", "[]", '{"transformer.lora_alpha": "x"}', '{"transformer.alpha_pattern": {"(a+)+": 1}}'],
)
def test_damaged_metadata_is_refused(tmp_path: Path, told: str) -> None:
    save_file(
        {f"{SINGLE}attn.to_q.{end}": v for end, v in pair(8, 8).items()},
        tmp_path / "odd.safetensors",
        {"lora_adapter_metadata": told},
    )
    with pytest.raises(InputError, match=r"odd\.safetensors"):
        convert(tmp_path / "odd.safetensors", tmp_path / "d.safetensors", "diffusers")


def test_the_command_converts_and_replaces_nothing(
    tmp_path: Path, lora: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "ohwx-kohya.safetensors"
    assert main(["lora", "convert", str(lora), str(target), "--to", "kohya", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["format"], said["rank"], said["path"]) == ("kohya", 4, str(target))
    assert main(["lora", "info", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["format"] == "kohya"
    content = target.read_bytes()
    assert main(["lora", "convert", str(lora), str(target), "--to", "diffusers"]) == 2
    assert "exists" in capsys.readouterr().err
    assert target.read_bytes() == content
    assert (
        main(
            [
                "lora",
                "convert",
                str(lora),
                str(tmp_path / "none" / "a.safetensors"),
                "--to",
                "diffusers",
            ]
        )
        == 2
    )


def test_layers_of_a_text_encoder_are_left_out_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    te = "lora_te1_text_model_encoder_layers_0_mlp_fc1"
    tensors = {
        f"{LINEAR1.replace('linear1', 'linear2')}.{end}": value
        for end, value in pair(40, 8).items()
    }
    tensors = {
        name.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): value
        for name, value in tensors.items()
    }
    save_file(
        tensors
        | {f"{te}.lora_down.weight": torch.ones(4, 8), f"{te}.lora_up.weight": torch.ones(8, 4)},
        tmp_path / "a.safetensors",
    )
    assert (
        main(
            [
                "lora",
                "convert",
                str(tmp_path / "a.safetensors"),
                str(tmp_path / "d.safetensors"),
                "--to",
                "diffusers",
                "--json",
            ]
        )
        == 0
    )
    said = capsys.readouterr()
    assert json.loads(said.out)["left_out"] == [te]
    assert te in said.err
    assert all(
        name.startswith(f"{SINGLE}proj_out")
        for name in lora_file.read(tmp_path / "d.safetensors").shapes
    )


def test_a_comfyui_gets_each_lora_under_a_name_of_its_own(
    tmp_path: Path, real: dict[str, Tensor]
) -> None:
    few = {name: value for name, value in real.items() if "double" not in name and "attn" in name}
    save_file(few, tmp_path / "a.safetensors")
    places = [for_comfyui(tmp_path / "a.safetensors", tmp_path, "ohwx man") for _ in range(2)]
    assert [place.name for place in places] == ["ohwx-man.safetensors", "ohwx-man-2.safetensors"]
    assert all(name.startswith("lora_unet_") for name in load_file(places[1]))
