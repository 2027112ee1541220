"""A small FLUX.1 of random weights in the files of a ComfyUI, and drawing with it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxTransformer2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from fluxbooth import GenerateSpec, InputError, generate
from fluxbooth.models import loader, registry
from fluxbooth.models.comfyui import ALL_IN_ONE
from fluxbooth.models.flux1 import bases as flux1
from fluxbooth.models.flux1 import components, layer_names
from fluxbooth.models.flux1 import files as flux1_files
from fluxbooth.models.flux1 import size as flux1_size
from fluxbooth.models.flux1.bases import NANO
from fluxbooth.models.layer_names import SHIFT_FIRST
from tests.support import flux_reference as reference

# the tokenizers are nano's, so the encoders read as many words as nano's do
WORDS = {
    part: json.loads((NANO / part / "config.json").read_text())["vocab_size"]
    for part in ("text_encoder", "text_encoder_2")
}


def original_layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A network's weights by diffusers' names, as the original authors' files have them."""
    norms = {
        f"transformer_blocks|{part}": f"double_blocks|{scale}"
        for scale, part in layer_names.LAYERS.double_norms.items()
    }
    norms |= {
        f"single_transformer_blocks|{part}": f"single_blocks|{scale}"
        for scale, part in layer_names.LAYERS.single_norms.items()
    }
    fused: dict[str, dict[int, Tensor]] = {}
    for name, value in state.items():
        folder, _, rest = name.partition(".")
        number, _, part = rest.partition(".")
        if f"{folder}|{part}" in norms:
            theirs, scale = norms[f"{folder}|{part}"].split("|")
            fused[f"{theirs}.{number}.{scale}"] = {0: value}
            continue
        layer, kind = name.rsplit(".", 1)
        found = layer_names.LAYERS.place_of(layer)
        shifted = torch.cat(value.chunk(2)[::-1]) if layer == SHIFT_FIRST else value
        fused.setdefault(f"{found[0]}.{kind}", {})[found[1]] = shifted
    return {
        name: torch.cat([parts[place] for place in sorted(parts)]) for name, parts in fused.items()
    }


def scaled_fp8(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    stored = {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    for name, value in tensors.items():
        if value.ndim == 2 and name.endswith("weight") and "layer_norm" not in name:
            factor = value.abs().max() / 448
            stored |= {
                name: (value / factor).to(torch.float8_e4m3fn),
                name.removesuffix("weight") + "scale_weight": factor,
            }
        else:
            stored[name] = value
    return stored


@pytest.fixture(scope="module")
def parts() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    return {
        "network": FluxTransformer2DModel(
            num_layers=1,
            num_single_layers=1,
            num_attention_heads=1,
            joint_attention_dim=96,
            pooled_projection_dim=128,
            guidance_embeds=True,
        ).eval(),
        "clip": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=WORDS["text_encoder"],
                hidden_size=128,
                intermediate_size=256,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=registry.BASES["nano"].text_length,
                hidden_act="quick_gelu",
                eos_token_id=1,
                projection_dim=128,
            )
        ).eval(),
        "t5": T5EncoderModel(
            T5Config(
                vocab_size=WORDS["text_encoder_2"],
                d_model=96,
                d_kv=16,
                d_ff=128,
                num_layers=2,
                num_heads=3,
                feed_forward_proj="gated-gelu",
            )
        ).eval(),
    }


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory, parts: dict[str, torch.nn.Module]) -> Path:
    """The network's file in a ComfyUI of its own."""
    root = tmp_path_factory.mktemp("ComfyUI") / "models"
    for folder in ("diffusion_models", "vae", "text_encoders"):
        (root / folder).mkdir(parents=True)
    save_file(
        original_layout(parts["network"].state_dict()),
        root / "diffusion_models" / "flux1-dev.safetensors",
    )
    shapes = json.loads(reference.SHAPES.read_text())
    save_file(reference.weights(shapes["autoencoder"], 5000), root / "vae" / "ae.safetensors")
    clip = {f"text_model.{name}": value for name, value in parts["clip"].state_dict().items()}
    save_file(
        clip | {"text_projection.weight": torch.zeros(2, 2)},
        root / "text_encoders" / "clip_l.safetensors",
    )
    t5 = {
        name: value
        for name, value in parts["t5"].state_dict().items()
        if name != "encoder.embed_tokens.weight"
    }
    save_file(scaled_fp8(t5), root / "text_encoders" / "t5xxl_fp8_e4m3fn_scaled.safetensors")
    save_file(t5, root / "text_encoders" / "t5xxl_fp16.safetensors")
    for tokenizer in ("tokenizer", "tokenizer_2"):
        shutil.copytree(NANO / tokenizer, root / "diffusion_models" / tokenizer)
    return root / "diffusion_models" / "flux1-dev.safetensors"


def test_the_files_of_a_comfyui_become_the_models_they_were_written_from(
    comfy: Path, parts: dict[str, torch.nn.Module]
) -> None:
    pipeline = components.pipeline(comfy, torch.float32)
    for found, part in (
        (pipeline.transformer, "network"),
        (pipeline.text_encoder, "clip"),
        (pipeline.text_encoder_2, "t5"),
    ):
        state, exact = found.state_dict(), parts[part].state_dict()
        assert state.keys() == exact.keys()
        assert all(torch.equal(state[name], value) for name, value in exact.items()), part
    ids = torch.tensor([[5, 9, 1, 1]])
    with torch.no_grad():
        assert torch.equal(
            pipeline.text_encoder(ids).pooler_output, parts["clip"](ids).pooler_output
        )
        assert torch.equal(pipeline.text_encoder_2(ids)[0], parts["t5"](ids)[0])
    assert pipeline.scheduler.config["use_dynamic_shifting"] is True
    assert pipeline.scheduler.config["shift"] == 3.0


def test_it_draws(comfy: Path) -> None:
    picture = generate(
        ["a man"], GenerateSpec(base=str(comfy), seed=1, width=64, height=64, steps=1)
    )[0]
    assert picture.image.size == (64, 64)
    assert np.asarray(picture.image).std() > 5


def test_a_comfyui_is_a_base_if_it_holds_one_network(comfy: Path, tmp_path: Path) -> None:
    root = shutil.copytree(comfy.parents[2], tmp_path / "ComfyUI")
    for folder in ("vae", "text_encoders"):
        for file in list((root / "models" / folder).iterdir()):
            (root / "models" / folder / "FLUX1").mkdir(exist_ok=True)  # as its manager puts them
            file.rename(root / "models" / folder / "FLUX1" / file.name)
    network = root / "models" / "diffusion_models" / "flux1-dev.safetensors"
    for place in (root, root / "models", network.parent):
        assert registry.find(str(place)).source == str(network)
    assert (
        flux1_files.component(network, flux1_files.VAE)
        == root / "models" / "vae" / "FLUX1" / "ae.safetensors"
    )
    assert flux1_files.component(network, flux1_files.T5).name == "t5xxl_fp16.safetensors"
    (root / "models" / "checkpoints").mkdir()
    shutil.copy(network, root / "models" / "checkpoints" / "mine.safetensors")
    with pytest.raises(
        InputError, match=r"several FLUX\.1 networks: .*mine\.safetensors, .*flux1-dev\.safetensors"
    ):
        registry.find(str(root))
    with pytest.raises(InputError, match=r"no FLUX\.1 or FLUX\.2 network is in it"):
        registry.find(str(root / "models" / "vae"))


def test_the_authors_repository_has_its_encoders_in_folders(
    comfy: Path, tmp_path: Path, parts: dict[str, torch.nn.Module]
) -> None:
    network = Path(shutil.copy(comfy, tmp_path))
    shutil.copy(comfy.parent.parent / "vae" / "ae.safetensors", tmp_path)
    for name, part in (("text_encoder", "clip"), ("text_encoder_2", "t5")):
        parts[part].save_pretrained(tmp_path / name)
    for tokenizer in ("tokenizer", "tokenizer_2"):
        shutil.copytree(NANO / tokenizer, tmp_path / tokenizer)
    pipeline = components.pipeline(network, torch.float32)
    for found, part in ((pipeline.text_encoder, "clip"), (pipeline.text_encoder_2, "t5")):
        assert all(
            torch.equal(found.state_dict()[name], value)
            for name, value in parts[part].state_dict().items()
        )
    in_files, unused = flux1_size.of_file(comfy), 4  # weights of CLIP's text_projection
    assert flux1_size.of_file(network) == replace(in_files, encoders=in_files.encoders - unused)


def test_what_is_built_as_flux_1_dev_is_under_its_licence(comfy: Path, tmp_path: Path) -> None:
    """Told by the header alone, of a file and of a folder."""
    assert registry.find(str(comfy)).licence.startswith("unknown")
    names = {
        "img_in.weight": [3072, 64],
        flux1_files.FIRST: [128],
        "double_blocks.18.img_mlp.0.weight": [1, 1],
        "single_blocks.37.linear1.weight": [1, 1],
    }
    for prefix, guided in (("", True), (ALL_IN_ONE, True), ("", False)):
        shapes = names | ({"guidance_in.in_layer.weight": [3072, 256]} if guided else {})
        file = tmp_path / f"{len(prefix)}{guided}.safetensors"
        header = {
            prefix + name: {"dtype": "F8_E4M3", "shape": shape, "data_offsets": [0, 0]}
            for name, shape in shapes.items()
        }
        text = json.dumps(header).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text)
        assert (registry.find(str(file)).licence == flux1.FLUX_DEV_LICENCE) == guided
    folder = shutil.copytree(
        NANO, tmp_path / "folder", ignore=shutil.ignore_patterns("*.safetensors")
    )
    config = json.loads((folder / "transformer" / "config.json").read_text())
    assert registry.find(str(folder)).licence.startswith("unknown")
    config |= {
        "num_layers": 19,
        "num_single_layers": 38,
        "num_attention_heads": 24,
        "attention_head_dim": 128,
    }
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    assert registry.find(str(folder)).licence == flux1.FLUX_DEV_LICENCE
    (tmp_path / "page.safetensors").write_text("<html>")
    with pytest.raises(InputError, match=r"page\.safetensors cannot be read"):
        registry.find(str(tmp_path / "page.safetensors"))


def test_one_file_may_hold_everything_in_fp8(
    comfy: Path, tmp_path: Path, parts: dict[str, torch.nn.Module]
) -> None:
    stored = {
        f"{ALL_IN_ONE}{name}": value.to(torch.float8_e4m3fn)
        for name, value in load_file(comfy).items()
    }
    for kind, folder, name in (
        (flux1_files.VAE, "vae", "ae"),
        (flux1_files.CLIP, "text_encoders", "clip_l"),
        (flux1_files.T5, "text_encoders", "t5xxl_fp16"),
    ):
        tensors = load_file(comfy.parent.parent / folder / f"{name}.safetensors")
        stored |= {f"{kind.prefix}{name}": value for name, value in tensors.items()}
    save_file(stored, tmp_path / "flux1-dev-fp8.safetensors")
    for tokenizer in ("tokenizer", "tokenizer_2"):
        shutil.copytree(NANO / tokenizer, tmp_path / tokenizer)
    pipeline = components.pipeline(tmp_path / "flux1-dev-fp8.safetensors", torch.bfloat16)
    assert {
        p.dtype
        for model in (pipeline.transformer, pipeline.text_encoder_2, pipeline.vae)
        for p in model.parameters()
    } == {torch.bfloat16}
    exact = parts["network"].state_dict()["x_embedder.weight"]
    assert torch.equal(
        pipeline.transformer.x_embedder.weight, exact.to(torch.float8_e4m3fn).bfloat16()
    )
    assert torch.equal(
        pipeline.text_encoder_2.shared.weight, parts["t5"].state_dict()["shared.weight"].bfloat16()
    )


def test_a_scaled_fp8_encoder_stands_in_where_there_is_no_other(
    comfy: Path, tmp_path: Path, parts: dict[str, torch.nn.Module]
) -> None:
    shutil.copytree(comfy.parent.parent, tmp_path / "models")
    (tmp_path / "models" / "text_encoders" / "t5xxl_fp16.safetensors").unlink()
    pipeline = components.pipeline(
        tmp_path / "models" / "diffusion_models" / "flux1-dev.safetensors", torch.float32
    )
    weight, exact = pipeline.text_encoder_2.shared.weight, parts["t5"].state_dict()["shared.weight"]
    assert not torch.equal(weight, exact)
    assert (weight - exact).abs().max() <= 2**-4 * exact.abs().max()


@pytest.mark.parametrize(
    "missing", ["vae/ae", "text_encoders/clip_l", "diffusion_models/tokenizer_2"]
)
def test_what_is_missing_is_named(
    comfy: Path, tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shutil.copytree(comfy.parent.parent, tmp_path / "models")
    gone = tmp_path / "models" / missing
    if gone.is_dir():
        shutil.rmtree(gone)
    else:
        gone.with_suffix(".safetensors").unlink()
    with pytest.raises(InputError, match=Path(missing).name):
        loader.load(str(tmp_path / "models" / "diffusion_models" / "flux1-dev.safetensors"))


def test_an_encoder_of_another_kind_is_refused_by_name(comfy: Path, tmp_path: Path) -> None:
    for name, other in (("t5xxl_fp16", "clip_l"), ("clip_l", "t5xxl_fp16")):
        root = tmp_path / name
        shutil.copytree(comfy.parent.parent, root)
        shutil.copy(
            comfy.parent.parent / "text_encoders" / f"{other}.safetensors",
            root / "text_encoders" / f"{name}.safetensors",
        )
        with pytest.raises(InputError, match=rf"{name}\.safetensors holds no"):
            components.pipeline(root / "diffusion_models" / "flux1-dev.safetensors", torch.float32)


def test_an_empty_tokenizer_is_noticed(comfy: Path, tmp_path: Path) -> None:
    shutil.copytree(comfy.parent.parent, tmp_path / "models")
    (tmp_path / "models" / "diffusion_models" / "tokenizer_2" / "tokenizer.json").unlink()
    with pytest.raises(
        InputError,
        match=rf"t5xxl_fp16\.safetensors reads {WORDS['text_encoder_2']} different tokens|tokenizer_2",
    ):
        components.pipeline(
            tmp_path / "models" / "diffusion_models" / "flux1-dev.safetensors", torch.float32
        )


def test_the_real_encoders_are_of_the_size_that_flux_1_has() -> None:
    """CLIP-L and T5-XXL, from the shapes in their files."""
    layers = {f"text_model.encoder.layers.{i}.mlp.fc1.weight": (3072, 768) for i in range(12)}
    embeddings = {"token": (49408, 768), "position": (77, 768)}
    clip = components.clip_config(
        layers | {f"text_model.embeddings.{k}_embedding.weight": v for k, v in embeddings.items()},
        eos=49407,
    )
    blocks = {
        f"encoder.block.{i}.layer.1.DenseReluDense.wi_0.weight": (10240, 4096) for i in range(24)
    }
    attention = {"q": (4096, 4096), "relative_attention_bias": (32, 64)}
    shapes = blocks | {
        f"encoder.block.0.layer.0.SelfAttention.{k}.weight": v for k, v in attention.items()
    }
    t5 = components.t5_config(shapes | {"shared.weight": (32128, 4096)})
    with torch.device("meta"):
        assert sum(p.numel() for p in CLIPTextModel(clip).parameters()) == 123_060_480
        assert sum(p.numel() for p in T5EncoderModel(t5).parameters()) == 4_762_310_656
    assert (clip.num_attention_heads, t5.num_heads, t5.d_kv) == (12, 64, 64)
