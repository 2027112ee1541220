"""FLUX.2 [klein]'s files: folders, original single files and ComfyUI's; their sizes and names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Transformer2DModel
from diffusers.loaders.single_file_utils import convert_flux2_transformer_checkpoint_to_diffusers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from fluxbooth import InputError
from fluxbooth.models import registry
from fluxbooth.models.comfyui import ALL_IN_ONE
from fluxbooth.models.flux1.bases import NANO
from fluxbooth.models.flux2 import components, files, layer_sizes, single_file, size
from fluxbooth.models.flux2.layer_names import LAYERS
from fluxbooth.models.layer_names import SHIFT_FIRST
from tests.support import klein

QWEN3 = {"vocab_size": 151936, "num_hidden_layers": 36, "num_key_value_heads": 8, "head_dim": 128}
WHOLE = {
    "4B": (
        {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24},
        {"hidden_size": 2560, "intermediate_size": 9728, "num_attention_heads": 32}
        | {"tie_word_embeddings": True},
    ),
    "9B": (
        {"num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32},
        {"hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32},
    ),
}


def original_layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's weights by diffusers' names, as the original authors' files have them."""
    norms = {
        (folder, part): scale
        for folder, table in (
            ("transformer_blocks", LAYERS.double_norms),
            ("single_transformer_blocks", LAYERS.single_norms),
        )
        for scale, part in table.items()
    }
    places = {
        "transformer_blocks": "double_blocks",
        "single_transformer_blocks": "single_blocks",
    }
    fused: dict[str, dict[int, Tensor]] = {}
    for name, value in state.items():
        folder, number, part = (*name.split(".", 2), "", "")[:3]
        if (folder, part) in norms:
            fused[f"{places[folder]}.{number}.{norms[folder, part]}"] = {0: value}
            continue
        layer, kind = name.rsplit(".", 1)
        original, place, _ = LAYERS.place_of(layer)
        turned = torch.cat(value.chunk(2)[::-1]) if layer == SHIFT_FIRST else value
        fused.setdefault(f"{original}.{kind}", {})[place] = turned
    return {
        name: torch.cat([parts[place] for place in sorted(parts)]) for name, parts in fused.items()
    }


def same(made: nn.Module, exact: dict[str, Tensor]) -> None:
    state = made.state_dict()
    assert state.keys() == exact.keys()
    assert [name for name, value in exact.items() if not torch.equal(state[name], value)] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return klein.folder(tmp_path_factory.mktemp("klein") / "4B")


@pytest.fixture(scope="module")
def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(next((folder / "transformer").glob("*.safetensors")))


@pytest.fixture(scope="module")
def autoencoder() -> AutoencoderKLFlux2:
    torch.manual_seed(3)
    made = AutoencoderKLFlux2(block_out_channels=(32, 32, 64, 64), layers_per_block=1).eval()
    made.bn.running_mean.copy_(torch.randn(128))
    made.bn.running_var.copy_(torch.rand(128) + 0.5)
    return made


@pytest.fixture(scope="module")
def comfy(
    tmp_path_factory: pytest.TempPathFactory,
    folder: Path,
    weights: dict[str, Tensor],
    autoencoder: AutoencoderKLFlux2,
) -> Path:
    """The network's file in a ComfyUI of its own."""
    root = tmp_path_factory.mktemp("ComfyUI") / "models"
    for name in ("diffusion_models", "vae", "text_encoders"):
        (root / name).mkdir(parents=True)
    network = root / "diffusion_models" / "flux-2-klein-4b.safetensors"
    save_file(original_layout(weights), network)
    save_file(autoencoder.state_dict(), root / "vae" / "flux2-vae.safetensors")
    encoder = load_file(next((folder / "text_encoder").glob("*.safetensors")))
    encoder.pop("lm_head.weight", None)
    save_file(encoder, root / "text_encoders" / "qwen_3_4b.safetensors")
    shutil.copytree(folder / "tokenizer", root / "diffusion_models" / "tokenizer")
    return network


@pytest.fixture
def of_width_16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small text encoder is called as the 4B's is."""
    kind = files.encoder(2560)
    monkeypatch.setattr(files, "encoder", lambda width: kind)


@pytest.mark.parametrize("which", WHOLE)
def test_the_whole_model_is_counted_exactly(which: str) -> None:
    """Against the networks themselves, without their weights."""
    network, encoder = WHOLE[which]
    told = size.of(f"black-forest-labs/FLUX.2-klein-{which}")
    with torch.device("meta"):
        made = Flux2Transformer2DModel(
            **network, joint_attention_dim=3 * encoder["hidden_size"], guidance_embeds=False
        )
        qwen3 = Qwen3ForCausalLM(Qwen3Config(**QWEN3 | encoder))
        autoencoder = AutoencoderKLFlux2()
    assert told.transformer == sum(p.numel() for p in made.parameters())
    assert told.encoders == sum(p.numel() for p in qwen3.parameters())
    read = [*qwen3.model.layers[: size.LAYERS_KEPT], qwen3.model.embed_tokens, qwen3.model.norm]
    assert told.encoders_used == sum(p.numel() for module in read for p in module.parameters())
    assert told.autoencoder == sum(p.numel() for p in autoencoder.parameters())
    assert told.autoencoder_channels == autoencoder.config["block_out_channels"][0]
    linears = {n: m for n, m in made.named_modules() if isinstance(m, nn.Linear)}
    blocks = [m for n, m in linears.items() if "transformer_blocks." in n]
    assert told.linear == sum(m.weight.numel() for m in blocks)
    assert told.adapter(16) == sum(16 * (m.in_features + m.out_features) for m in blocks)
    there = {name: (m.out_features, m.in_features) for name, m in linears.items()}
    assert layer_sizes.sizes(f"black-forest-labs/FLUX.2-klein-base-{which}") == there


def test_names_of_the_original_are_those_that_diffusers_knows() -> None:
    """Each weight of the whole 4B there and back, by diffusers' own converter, sizes included."""
    with torch.device("meta"):
        network, encoder = WHOLE["4B"]
        made = Flux2Transformer2DModel(
            **network, joint_attention_dim=3 * encoder["hidden_size"], guidance_embeds=False
        )
        state = made.state_dict()
        theirs = convert_flux2_transformer_checkpoint_to_diffusers(original_layout(state))
    assert {name: value.shape for name, value in theirs.items()} == {
        name: value.shape for name, value in state.items()
    }


def test_diffusers_reads_the_original_layout_as_the_same_numbers(
    weights: dict[str, Tensor],
) -> None:
    theirs = convert_flux2_transformer_checkpoint_to_diffusers(original_layout(weights))
    assert theirs.keys() == weights.keys()
    assert all(torch.equal(theirs[name], value) for name, value in weights.items())


def test_a_folder_is_a_base_with_its_sizes(folder: Path, tmp_path: Path) -> None:
    row = registry.find(str(folder))
    assert (row.family, row.branch, row.steps, row.guidance) == ("flux2", "flux2", 4, None)
    assert not row.trains
    with pytest.raises(InputError, match="train on flux2-klein, its LoRAs work on"):
        registry.find_to_train(str(folder))
    base = registry.find(str(klein.folder(tmp_path / "base", distilled=False)))
    assert (base.steps, base.guidance, base.two_pass, base.trains) == (50, 4.0, True, True)
    pipeline = Flux2KleinPipeline.from_pretrained(folder)
    shape = registry.description_of(row).shape(str(folder))
    counted = {
        part: sum(p.numel() for p in getattr(pipeline, part).parameters())
        for part in ("transformer", "text_encoder", "vae")
    }
    assert shape.transformer == counted["transformer"]
    assert shape.encoders == counted["text_encoder"]
    assert 0 <= shape.autoencoder - counted["vae"] <= 2 * 128 + 1  # the statistics
    assert layer_sizes.sizes(str(folder)) == {
        name: (m.out_features, m.in_features)
        for name, m in pipeline.transformer.named_modules()
        if isinstance(m, nn.Linear)
    }


def test_neither_family_takes_the_others_for_its_own(folder: Path, comfy: Path) -> None:
    for place, family in ((folder, "flux2"), (comfy, "flux2"), (NANO, "flux1")):
        owners = [
            name
            for name, description in registry.FAMILIES.items()
            if description.own("mine", place) is not None
        ]
        assert owners == [family]


@pytest.mark.usefixtures("of_width_16")
def test_the_files_of_a_comfyui_become_the_models_they_were_written_from(
    comfy: Path, folder: Path, weights: dict[str, Tensor], autoencoder: AutoencoderKLFlux2
) -> None:
    pipeline = components.pipeline(comfy, torch.float32)
    same(pipeline.transformer, weights)
    statistics = {"bn.num_batches_tracked": torch.tensor(0)}
    same(pipeline.vae, autoencoder.state_dict() | statistics)
    exact = Qwen3ForCausalLM.from_pretrained(folder / "text_encoder")
    same(pipeline.text_encoder, exact.state_dict())
    assert pipeline.config["is_distilled"] is True
    assert pipeline.scheduler.config["use_dynamic_shifting"] is True
    made, kept = (
        pipeline.transformer.config,
        Flux2Transformer2DModel.load_config(folder / "transformer"),
    )
    assert {key: made[key] for key in klein.NETWORK} == {
        key: tuple(kept[key]) if isinstance(kept[key], list) else kept[key] for key in klein.NETWORK
    }
    in_folder = size.of(str(folder))
    assert size.of(str(comfy)).transformer == in_folder.transformer
    assert size.of(str(comfy)).encoders == in_folder.encoders
    assert layer_sizes.sizes(str(comfy)) == layer_sizes.sizes(str(folder))


def test_the_original_autoencoder_is_the_same(
    autoencoder: AutoencoderKLFlux2, tmp_path: Path
) -> None:
    """By the names that its authors gave: they count the decoder's levels from the picture."""
    named: dict[str, Tensor] = {}
    for name, value in autoencoder.state_dict().items():
        named |= {
            _authors_name(name): value[..., None, None]
            if ".to_" in name and value.ndim == 2
            else value
        }
    save_file(named, tmp_path / "ae.safetensors")
    found = single_file.autoencoder(tmp_path / "ae.safetensors", torch.float32)
    picture = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        latents = autoencoder.encode(picture).latent_dist.mode()
        assert torch.equal(found.encode(picture).latent_dist.mode(), latents)
        assert torch.equal(found.decode(latents).sample, autoencoder.decode(latents).sample)
    assert torch.equal(found.bn.running_var, autoencoder.bn.running_var)


def _authors_name(name: str) -> str:
    for ours, theirs in (
        ("quant_conv.", "encoder.quant_conv."),
        ("post_encoder.quant_conv.", "decoder.post_quant_conv."),
        ("down_blocks.", "down."),
        (".resnets.", ".block."),
        (".downsamplers.0.", ".downsample."),
        (".upsamplers.0.", ".upsample."),
        ("mid_block.block.0", "mid.block_1"),
        ("mid_block.block.1", "mid.block_2"),
        ("mid_block.attentions.0.group_norm", "mid.attn_1.norm"),
        ("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out"),
        ("mid_block.attentions.0.to_", "mid.attn_1."),
        ("conv_norm_out", "norm_out"),
        ("conv_shortcut", "nin_shortcut"),
    ):
        name = name.replace(ours, theirs)
    for level in range(4):
        if name.startswith(f"decoder.up_blocks.{level}."):
            return name.replace(f"up_blocks.{level}.", f"up.{3 - level}.")
    return name


@pytest.mark.parametrize(
    ("name", "distilled"),
    [
        ("flux-2-klein-base-4b", False),
        ("klein_base", False),
        ("my-undistilled-klein", False),
        ("flux-2-klein-4b", True),
        ("klein_basement_style", True),
        ("klein-distilled", True),
    ],
)
def test_only_a_whole_word_of_a_name_says_that_it_is_a_base(name: str, distilled: bool) -> None:
    assert files.distilled(Path(f"{name}.safetensors")) == distilled


def test_a_base_is_told_by_its_name_where_no_weight_tells(comfy: Path, tmp_path: Path) -> None:
    shutil.copy(comfy, tmp_path / "flux-2-klein-base-4b.safetensors")
    row = registry.find(str(tmp_path))
    assert (row.trains, row.two_pass, row.guidance) == (True, True, 4.0)
    assert not registry.find(str(comfy)).trains


def test_flux2_dev_and_gguf_are_refused_by_name(weights: dict[str, Tensor], tmp_path: Path) -> None:
    stored = original_layout(weights) | {files.GUIDANCE: torch.zeros(4, 4)}
    save_file(stored, tmp_path / "flux2-dev.safetensors")
    with pytest.raises(InputError, match=r"flux2-dev\.safetensors is FLUX\.2 \[dev\].*Mistral"):
        registry.find(str(tmp_path))
    (tmp_path / "flux-2-klein-4b-Q4_K_S.gguf").write_bytes(b"GGUF" + bytes(64))
    (tmp_path / "flux2-dev.safetensors").unlink()
    for place in (tmp_path, tmp_path / "flux-2-klein-4b-Q4_K_S.gguf"):
        with pytest.raises(InputError, match=r"Q4_K_S\.gguf is a GGUF file.*\.safetensors file"):
            registry.find(str(place))


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_a_folder_that_is_quantised_already_is_refused(
    folder: Path, tmp_path: Path, part: str
) -> None:
    for whole in (folder, NANO):
        place = shutil.copytree(
            whole, tmp_path / whole.name, ignore=shutil.ignore_patterns("*.safetensors")
        )
        config = place / part / "config.json"
        how = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
        config.write_text(json.dumps(json.loads(config.read_text()) | how))
        with pytest.raises(InputError, match=rf"{part} is quantised already \(bitsandbytes\)"):
            registry.find(str(place))


def test_a_comfyui_with_networks_of_both_families_asks_which(comfy: Path, tmp_path: Path) -> None:
    shutil.copy(comfy, tmp_path / "flux-2-klein-4b.safetensors")
    other = {"double_blocks.0.img_attn.norm.query_norm.scale": torch.ones(4)}
    save_file(other | {"img_in.weight": torch.ones(4, 4)}, tmp_path / "flux1-dev.safetensors")
    with pytest.raises(InputError, match=r"several networks: .*flux1-dev.*flux-2-klein"):
        registry.find(str(tmp_path))


def scaled(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    stored: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if value.ndim == 2:
            factor = value.abs().max() / 448
            layer = name.removesuffix(".weight")
            stored[name] = (value / factor).to(torch.float8_e4m3fn)
            stored |= {f"{layer}.weight_scale": factor, f"{layer}.input_scale": torch.ones(())}
        else:
            stored[name] = value
    return stored


def packed_in_four_bits(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    name = "double_blocks.0.img_attn.proj.weight"
    layer = name.removesuffix(".weight")
    return tensors | {
        name: torch.zeros(32, 16, dtype=torch.uint8),
        f"{layer}.weight_scale": torch.zeros(32, 2, dtype=torch.float8_e4m3fn),
        f"{layer}.weight_scale_2": torch.ones(()),
    }


@pytest.mark.parametrize(
    ("change", "refused"), [(scaled, ""), (packed_in_four_bits, "quantised to something else")]
)
def test_a_quantised_network_is_read_or_refused(
    weights: dict[str, Tensor],
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    refused: str,
) -> None:
    path = tmp_path / "flux-2-klein-4b-quantised.safetensors"
    save_file({ALL_IN_ONE + name: v for name, v in change(original_layout(weights)).items()}, path)
    if refused:
        with pytest.raises(InputError, match=refused):
            single_file.transformer(path, torch.float32)
        return
    state: dict[str, Any] = single_file.transformer(path, torch.float32).state_dict()
    for name, exact in weights.items():
        assert (state[name] - exact).abs().max() <= 2**-4 * exact.abs().max(), name


@pytest.mark.usefixtures("of_width_16")
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda root: (root / "vae" / "flux2-vae.safetensors").unlink(),
            r"flux2-vae\.safetensors is",
        ),
        (lambda root: (root / "text_encoders" / "qwen_3_4b.safetensors").unlink(), "qwen_3_4b"),
        (
            lambda root: shutil.rmtree(root / "diffusion_models" / "tokenizer"),
            "hf download Qwen/Qwen3",
        ),
        (
            lambda root: save_file(
                {"decoder.conv_in.weight": torch.ones(2, 2)}, root / "vae" / "flux2-vae.safetensors"
            ),
            r"flux2-vae\.safetensors is not near",  # FLUX.1's has no statistics
        ),
    ],
)
def test_what_is_missing_is_named(
    comfy: Path,
    tmp_path: Path,
    spoil: Callable[[Path], Any],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    root = shutil.copytree(comfy.parents[1], tmp_path / "models")
    spoil(root)
    with pytest.raises(InputError, match=reason):
        components.pipeline(root / "diffusion_models" / comfy.name, torch.float32)


def test_a_network_with_another_text_encoder_is_refused(comfy: Path, tmp_path: Path) -> None:
    root = shutil.copytree(comfy.parents[1], tmp_path / "models")
    path = root / "text_encoders" / "qwen_3_4b.safetensors"
    encoder = Qwen3ForCausalLM(Qwen3Config(vocab_size=64, **klein.ENCODER | {"hidden_size": 24}))
    save_file(
        {name: v for name, v in encoder.state_dict().items() if name != "lm_head.weight"}, path
    )
    path.rename(root / "text_encoders" / "qwen_3.safetensors")
    with pytest.raises(InputError, match=r"qwen_3\.safetensors is a text encoder of width 24"):
        components.pipeline(root / "diffusion_models" / comfy.name, torch.float32)


def test_a_loras_header_says_what_it_was_trained_on(folder: Path) -> None:
    told = {
        name: registry.description_of(row).lora_metadata(row)
        for name, row in (registry.BASES | {"mine": registry.find(str(folder))}).items()
    }
    assert {name: said["modelspec.architecture"] for name, said in told.items()} == {
        "nano": "flux-1-dev/lora",
        "flux-dev": "flux-1-dev/lora",
        "flux-krea": "flux-1-dev/lora",
        "flux-kontext": "flux-1-dev/lora",
        "flux-schnell": "flux-1-schnell/lora",
        "flux2-klein": "Flux.2-klein-4b/lora",
        "flux2-klein-base": "Flux.2-klein-4b/lora",
        "flux2-klein-9b": "Flux.2-klein-9b/lora",
        "mine": "Flux.2-klein/lora",
    }
    for name, row in registry.BASES.items():
        said = " ".join(told[name].values())
        named = [f for f, family in registry.FAMILIES.items() if family.layers.named_in(said)]
        assert named == [row.family]


def test_the_rows_of_klein_say_what_they_may_be_used_for() -> None:
    rows = {name: row for name, row in registry.BASES.items() if row.family == "flux2"}
    assert {name: row.licence for name, row in rows.items() if "9b" not in name} == {
        "flux2-klein": "Apache-2.0",
        "flux2-klein-base": "Apache-2.0",
    }
    assert "Non-Commercial" in rows["flux2-klein-9b"].licence
    assert all("base" in row.train_source for row in rows.values())  # never the distilled one
    assert json.dumps([row.text_length for row in rows.values()]) == "[512, 512, 512]"
