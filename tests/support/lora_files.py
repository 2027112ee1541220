"""LoRA files for nano as programs write them, each with the change of the weights that it means,
computed here by hand, or the reason why it is refused.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fluxbooth.models.flux1.bases import NANO

D, CHANNELS, TEXT = 256, 64, 192  # nano's width, channels of a packed latent, width of its text
RANK = 4
Q = "transformer_blocks.0.attn.to_q"
OUT = "transformer_blocks.0.attn.to_out.0"
MLP = "single_transformer_blocks.0.proj_mlp"
SIZES = {Q: (D, D), OUT: (D, D), MLP: (4 * D, D)}
LINEAR1 = [
    f"single_transformer_blocks.0.{part}"
    for part in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
]
QKV = [f"transformer_blocks.0.attn.{part}" for part in ("to_q", "to_k", "to_v")]
ADDED = [f"transformer_blocks.0.attn.{part}" for part in ("add_q_proj", "add_k_proj", "add_v_proj")]
Pair = tuple[Tensor, Tensor]  # A, B
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    name: str
    tensors: Tensors = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    # of weights, by diffusers' layers; of all others it is zero
    changes: dict[str, Tensor] = field(default_factory=dict)
    # lengths that W + change is brought to, along which axis
    scaled: dict[str, tuple[Tensor, int]] = field(default_factory=dict)
    refused: str = ""  # a pattern of the reason
    # a pattern of the reason why it does not become a file of diffusers' format
    not_converted: str = ""
    content: bytes = b""  # of a file that no library would write
    tolerance: float = 1e-5

    def write(self, folder: Path) -> Path:
        path = folder / f"{self.name}.safetensors"
        if self.content:
            path.write_bytes(self.content)
        else:
            save_file(
                {name: value.contiguous().clone() for name, value in self.tensors.items()},
                path,
                self.metadata or None,
            )
        return path


def pair(outputs: int, inputs: int, rank: int = RANK) -> Pair:
    return torch.randn(rank, inputs) * 0.25, torch.randn(outputs, rank) * 0.25


def named(
    layers: Mapping[str, Pair],
    prefix: str = "transformer.",
    a: str = "lora_A.weight",
    b: str = "lora_B.weight",
) -> Tensors:
    return {
        f"{prefix}{layer}.{end}": value
        for layer, both in layers.items()
        for end, value in zip((a, b), both, strict=True)
    }


def underscored(
    layers: Mapping[str, Pair], prefix: str = "lora_unet_", alpha: float | None = None
) -> Tensors:
    tensors: Tensors = {}
    for layer, (a, b) in layers.items():
        name = prefix + layer.replace(".", "_")
        tensors |= {f"{name}.lora_down.weight": a, f"{name}.lora_up.weight": b}
        if alpha is not None:
            tensors[f"{name}.alpha"] = torch.tensor(float(alpha))
    return tensors


def products(layers: Mapping[str, Pair], strength: float = 1.0) -> Tensors:
    return {layer: strength * b @ a for layer, (a, b) in layers.items()}


def split(layers: list[str], whole: Tensor) -> Tensors:
    """A fused layer's change by the parts that lie in it one after another."""
    heights = [4 * D if layer.endswith("proj_mlp") else D for layer in layers]
    return dict(zip(layers, whole.split(heights), strict=True))


def forged(tensors: Mapping[str, Any], data: int, length: int | None = None) -> bytes:
    text = json.dumps(tensors).encode()
    length = len(text) if length is None else length
    return struct.pack("<Q", length) + text + b" " * (length - len(text)) + bytes(data)


def peft(**told: Any) -> dict[str, str]:
    return {
        "format": "pt",
        "lora_adapter_metadata": json.dumps(
            {f"transformer.{key}": value for key, value in told.items()}
        ),
    }


def strengths(plain: Mapping[str, Pair]) -> list[Case]:
    """Told beside the tensors or in the header alone."""
    tensors, changes = named(plain), products(plain)
    alphas = {f"transformer.{layer}.alpha": torch.tensor(4.0 * RANK) for layer in plain}
    # as an integer
    whole = {f"transformer.{layer}.alpha": torch.tensor(2 * RANK) for layer in plain}
    one = {"alpha_pattern": {Q: 8 * RANK}, "lora_alpha": RANK, "r": RANK}
    ranks = {Q: pair(D, D, 2), OUT: pair(D, D, 8)}
    by_rank = {Q: 4 / 2 * products(ranks)[Q], OUT: 4 / 8 * products(ranks)[OUT]}
    by_root = {Q: 4 / 2**0.5 * products(ranks)[Q], OUT: 4 / 8**0.5 * products(ranks)[OUT]}
    pattern = {"r": 2, "lora_alpha": 4, "rank_pattern": {OUT: 8}}
    damaged = "damaged metadata"
    return [
        Case("plain", tensors, changes=changes),
        Case("header_x4", tensors, peft(r=RANK, lora_alpha=4 * RANK), products(plain, 4)),
        Case("header_quarter", tensors, peft(r=RANK, lora_alpha=RANK / 4), products(plain, 0.25)),
        Case(
            "header_rslora",
            tensors,
            peft(r=RANK, lora_alpha=RANK, use_rslora=True),
            products(plain, RANK**0.5),
        ),
        Case("header_alpha_pattern", tensors, peft(**one), {**changes, Q: 8 * changes[Q]}),
        Case("header_rank_pattern", named(ranks), peft(**pattern), by_rank),
        Case("header_rank_pattern_rslora", named(ranks), peft(**pattern, use_rslora=True), by_root),
        Case("alpha_x4", tensors | alphas, changes=products(plain, 4)),
        Case("alpha_integer", tensors | whole, changes=products(plain, 2)),
        Case("header_not_json", tensors, {"lora_adapter_metadata": "{"}, refused=damaged),
        Case(
            "header_alpha_nan",
            tensors,
            {"lora_adapter_metadata": '{"transformer.lora_alpha": NaN}'},
            refused=damaged,
        ),
        Case(
            "header_alpha_regex", tensors, peft(alpha_pattern={"(a+)+": 1}), refused="by patterns"
        ),
    ]


def namings(plain: Mapping[str, Pair], fused: Mapping[str, Pair]) -> list[Case]:
    changes = products(plain)
    of_fused = split(QKV, products(fused)["double_blocks.0.img_attn.qkv"]) | split(
        LINEAR1, products(fused)["single_blocks.0.linear1"]
    )
    of_fused[OUT] = products(fused)["double_blocks.0.img_attn.proj"]
    parts_alone = {f"double_blocks.0.img_attn.qkv.{number}": pair(D, D) for number in range(3)}
    swapped = {"final_layer.adaLN_modulation.1": pair(2 * D, D)}
    turned = torch.cat(products(swapped)["final_layer.adaLN_modulation.1"].chunk(2)[::-1])
    text = {"lora_te1_text_model_encoder_layers_0_mlp_fc1": pair(64, 64)}
    xlabs = {
        "qkv_lora1": pair(3 * D, D),
        "proj_lora1": pair(D, D),
        "qkv_lora2": pair(3 * D, D),
        "proj_lora2": pair(D, D),
    }
    of_xlabs = split(QKV, products(xlabs)["qkv_lora1"]) | split(ADDED, products(xlabs)["qkv_lora2"])
    of_xlabs |= {
        OUT: products(xlabs)["proj_lora1"],
        OUT.replace("to_out.0", "to_add_out"): products(xlabs)["proj_lora2"],
    }
    double = {f"double_blocks.0.processor.{name}": value for name, value in xlabs.items()}
    single = {"qkv_lora": pair(3 * D, D), "proj_lora": pair(D, 5 * D)}
    alone = {f"single_blocks.1.processor.{name}": value for name, value in single.items()}
    of_single = split(
        [f"single_transformer_blocks.1.attn.to_{x}" for x in "qkv"], products(single)["qkv_lora"]
    )
    of_single["single_transformer_blocks.1.proj_out"] = products(single)["proj_lora"]
    ends = {"a": "down.weight", "b": "up.weight"}
    outside = {
        "x_embedder": pair(D, CHANNELS),
        "context_embedder": pair(D, TEXT),
        "proj_out": pair(CHANNELS, D),
    }
    return [
        Case("no_prefix", named(plain, ""), changes=changes),
        Case("base_model_model", named(plain, "base_model.model."), changes=changes),
        Case(
            "base_model_transformer", named(plain, "base_model.model.transformer."), changes=changes
        ),
        Case(
            "adapter_name",
            named(plain, a="lora_A.default.weight", b="lora_B.default.weight"),
            changes=changes,
        ),
        Case(
            "old_diffusers", named(plain, a="lora.down.weight", b="lora.up.weight"), changes=changes
        ),
        Case(
            "down_and_up", named(plain, a="lora_down.weight", b="lora_up.weight"), changes=changes
        ),
        Case("ai_toolkit", named(fused, "diffusion_model."), changes=of_fused),
        Case("original", named(fused, ""), changes=of_fused),
        Case("fal", named(fused, "base_model.model."), changes=of_fused),
        Case("kohya", underscored(fused, alpha=RANK), changes=of_fused),
        Case(
            "kohya_alpha_1",
            underscored(fused, alpha=1),
            changes={name: value / RANK for name, value in of_fused.items()},
        ),
        Case("kohya_without_alpha", underscored(fused), changes=of_fused),
        Case(
            "kohya_of_zeros",
            {name: 0 * value for name, value in underscored(fused).items()},
            changes={},
        ),
        Case(
            "kohya_split_qkv",
            underscored(parts_alone, alpha=RANK),
            changes=products(dict(zip(QKV, parts_alone.values(), strict=True))),
        ),
        Case("kohya_last_layer", underscored(swapped), changes={"norm_out.linear": turned}),
        Case(
            "kohya_and_clip",
            underscored(fused, alpha=RANK) | underscored(text, "", 4),
            changes=of_fused,
        ),
        Case("kohya_clip_alone", underscored(text, "", 4), refused="text encoders alone"),
        Case(
            "diffusers_and_clip",
            named(plain)
            | named(
                {"text_model.encoder.layers.0.self_attn.q_proj": pair(64, 64)}, "text_encoder."
            ),
            changes=changes,
        ),
        Case(
            "kohya_many_tags",
            underscored(fused, alpha=RANK),
            {"ss_tag_frequency": json.dumps({f"tag {i}" * 5: i for i in range(30000)})},
            of_fused,
        ),
        Case("onetrainer", underscored(plain, "lora_transformer_", RANK), changes=changes),
        Case("onetrainer_unet", underscored(plain, "lora_unet_", RANK), changes=changes),
        Case(
            "onetrainer_bundle",
            underscored(plain, "lora_transformer_", RANK)
            | {"bundle_emb.<ohwx>.clip_l": torch.randn(2, 64)},
            changes=changes,
        ),
        Case("xlabs", named(double, "", **ends), changes=of_xlabs),
        Case(
            "xlabs_prefix",
            named(double | alone, "diffusion_model.", **ends),
            changes=of_xlabs | of_single,
        ),
        Case("embedders", named(outside), changes=products(outside)),
        Case("twice", named(plain) | underscored({Q: plain[Q]}), refused="twice"),
    ]


def methods(weights: Tensors) -> list[Case]:
    """LoHa, LoKr, DoRA."""
    pairs = pair(D, D), pair(D, D)
    hada = {
        f"hada_{w}_{ab}": value
        for w, (a, b) in zip(("w1", "w2"), pairs, strict=True)
        for ab, value in (("a", b), ("b", a))
    }
    loha = (pairs[0][1] @ pairs[0][0]) * (pairs[1][1] @ pairs[1][0])
    w1, w2, low = torch.randn(4, 4), torch.randn(D // 4, D // 4) * 0.1, pair(D // 4, D // 4, 2)
    kron = torch.kron(w1, w2)
    # its rows are not those of q, k and v
    tall, wide = torch.randn(6, 4), torch.randn(3 * D // 6, D // 4) * 0.1
    a, b = pair(D, D)
    rows, columns = torch.rand(D) + 0.5, torch.rand(1, D) + 0.5
    lengths = weights[Q].norm(dim=1) * 1.2
    qkv, three = pair(3 * D, D), torch.rand(3 * D, 1) + 0.5
    name = {
        layer: f"lora_unet_{layer}"
        for layer in ("double_blocks_0_img_attn_proj", "double_blocks_0_img_attn_qkv")
    }
    proj, fused = name.values()
    lora = {
        f"{proj}.lora_down.weight": a,
        f"{proj}.lora_up.weight": b,
        f"{proj}.alpha": torch.tensor(2.0),
    }
    plain = {OUT: pair(D, D), MLP: pair(4 * D, D)}
    whole = "rank 256.*larger than the layer"
    return [
        Case("loha", {f"{proj}.{end}": value for end, value in hada.items()}, changes={OUT: loha}),
        Case(
            "loha_alpha",
            {f"{proj}.{end}": value for end, value in hada.items()}
            | {f"{proj}.alpha": torch.tensor(1.0)},
            changes={OUT: loha / RANK},
        ),
        Case(
            "lokr",
            {f"{proj}.lokr_w1": w1, f"{proj}.lokr_w2": w2, f"{proj}.alpha": torch.tensor(1.0)},
            changes={OUT: kron},
            not_converted=whole,
        ),
        Case(
            "lokr_lycoris",
            {
                f"lycoris_{Q.replace('.', '_')}.lokr_w1": w1,
                f"lycoris_{Q.replace('.', '_')}.lokr_w2": w2,
            },
            changes={Q: kron},
            not_converted=whole,
        ),
        Case(
            "lokr_low",
            {f"{proj}.lokr_w1": w1, f"{proj}.lokr_w2_a": low[1], f"{proj}.lokr_w2_b": low[0]}
            | {f"{proj}.alpha": torch.tensor(1.0)},
            changes={OUT: torch.kron(w1, low[1] @ low[0]) / 2},
        ),
        Case(
            "lokr_fused",
            {f"{fused}.lokr_w1": tall, f"{fused}.lokr_w2": wide},
            changes=split(QKV, torch.kron(tall, wide)),
            not_converted="larger than the layer",
        ),
        Case(
            "dora",
            named({Q: (a, b)}) | {f"transformer.{Q}.lora_magnitude_vector": lengths},
            peft(use_dora=True),
            {Q: b @ a},
            {Q: (lengths, 1)},
        ),
        Case(
            "dora_on_one_layer",
            named(plain | {Q: (a, b)})
            | {f"transformer.{Q}.lora_magnitude_vector.default.weight": lengths},
            peft(use_dora=True),
            products(plain | {Q: (a, b)}),
            {Q: (lengths, 1)},
        ),
        Case(
            "dora_alpha",
            named({Q: (a, b)}) | {f"transformer.{Q}.lora_magnitude_vector": rows},
            peft(lora_alpha=2 * RANK),
            {Q: 2 * b @ a},
            {Q: (rows, 1)},
        ),
        Case(
            "kohya_dora",
            lora | {f"{proj}.dora_scale": rows[:, None]},
            changes={OUT: b @ a / 2},
            scaled={OUT: (rows, 1)},
        ),
        Case(
            "kohya_dora_inputs",
            lora | {f"{proj}.dora_scale": columns},
            changes={OUT: b @ a / 2},
            scaled={OUT: (columns[0], 0)},
            not_converted="magnitude for each input",
        ),
        Case(
            "kohya_dora_fused",
            {
                f"{fused}.lora_down.weight": qkv[0],
                f"{fused}.lora_up.weight": qkv[1],
                f"{fused}.dora_scale": three,
            },
            changes=split(QKV, qkv[1] @ qkv[0]),
            scaled={
                layer: (part.flatten(), 1) for layer, part in zip(QKV, three.split(D), strict=True)
            },
        ),
        Case(
            "kohya_dora_fused_inputs",
            {
                f"{fused}.lora_down.weight": qkv[0],
                f"{fused}.lora_up.weight": qkv[1],
                f"{fused}.dora_scale": columns,
            },
            refused="magnitude for each input",
        ),
        Case(
            "loha_dora",
            {f"{proj}.{end}": value for end, value in hada.items()}
            | {f"{proj}.dora_scale": rows[:, None]},
            changes={OUT: loha},
            scaled={OUT: (rows, 1)},
        ),
        Case("oft", {f"{proj}.oft_blocks": torch.randn(4, 64, 64)}, refused="is an OFT"),
        Case("whole_difference", {f"{proj}.diff": torch.randn(D, D)}, refused="whole differences"),
        Case(
            "norms",
            named(plain) | {"double_blocks.0.img_attn.norm.query_norm.scale": torch.ones(64)},
            refused="scales of norms",
        ),
    ]


def numbers(plain: Mapping[str, Pair], fused: Mapping[str, Pair]) -> list[Case]:
    tensors, changes = named(plain), products(plain)
    first = f"transformer.{Q}.lora_B.weight"

    def spoilt(value: float, dtype: torch.dtype) -> Tensors:
        copies = {name: tensor.to(dtype, copy=True) for name, tensor in tensors.items()}
        copies[first][3, 1] = value
        return copies

    def rounded(dtype: torch.dtype) -> dict[str, Pair]:
        return {layer: (a.to(dtype), b.to(dtype)) for layer, (a, b) in plain.items()}

    eight = rounded(torch.float8_e4m3fn)
    small = {layer: (a.float(), b.float()) for layer, (a, b) in eight.items()}
    five = rounded(torch.float8_e5m2)
    a, b = (t.to(torch.float8_e4m3fn) for t in fused["double_blocks.0.img_attn.proj"])
    of_kohya = {"double_blocks.0.img_attn.proj": (a, b)}
    of_proj = {OUT: (b.float() @ a.float()) / RANK}
    mixed = {
        name: value.bfloat16() if "lora_A" in name else value for name, value in tensors.items()
    }
    of_mixed = {layer: b @ a.bfloat16().float() for layer, (a, b) in plain.items()}
    ranks = {Q: pair(D, D, 2), OUT: pair(D, D, 7), MLP: pair(4 * D, D, 1)}
    broken = "infinite or none at all"
    return [
        Case("fp8", named(eight), changes=products(small), tolerance=1e-2),
        Case(
            "fp8_e5m2",
            named(five),
            changes={name: b.float() @ a.float() for name, (a, b) in five.items()},
            tolerance=1e-2,
        ),
        Case("kohya_fp8", underscored(of_kohya, alpha=1), changes=of_proj, tolerance=1e-2),
        Case("mixed_ranks", named(ranks), changes=products(ranks)),
        Case("mixed_dtypes", mixed, changes=of_mixed),
        Case(
            "bias_of_zeros",
            tensors | {f"transformer.{Q}.lora_B.bias": torch.zeros(D)},
            changes=changes,
        ),
        Case("nan", spoilt(float("nan"), torch.float32), refused=broken),
        Case("nan_bf16", spoilt(float("nan"), torch.bfloat16), refused=broken),
        Case("inf_fp16", spoilt(float("inf"), torch.float16), refused=broken),
        Case("nan_fp8", spoilt(float("nan"), torch.float8_e4m3fn), refused=broken),
        Case("minus_inf_e5m2", spoilt(float("-inf"), torch.float8_e5m2), refused=broken),
        Case(
            "alpha_nan",
            tensors | {f"transformer.{Q}.alpha": torch.tensor(float("nan"))},
            refused=broken,
        ),
        Case("f64", {name: value.double() for name, value in tensors.items()}, refused="as F64"),
    ]


def broken() -> list[Case]:
    a, b, k = f"transformer.{Q}.lora_A.weight", f"transformer.{Q}.lora_B.weight", QKV[1]
    (down, up), other = pair(D, D), named({k: pair(D, D)})
    rows = {
        a: {"dtype": "F32", "shape": [1, D], "data_offsets": [0, 4 * D]},
        b: {"dtype": "F32", "shape": [D, 1], "data_offsets": [4 * D, 8 * D]},
    }

    def changed(**values: Any) -> bytes:
        return forged({**rows, a: {**rows[a], **values}}, 8 * D)

    lengths = (632, 640, 896, 1152, 1408, 19280, 65536 + 640, 65536 + 19280)
    sound = [
        Case(
            f"header_of_{length}",
            content=forged(rows, 8 * D, length),
            changes={Q: torch.zeros(D, D)},
        )
        for length in lengths
    ]
    wide = named({"x_embedder": pair(D, 2 * CHANNELS)})
    sd = {"input_blocks_4_1_transformer_blocks_0_attn1_to_q": pair(640, 640)}
    conv = {"lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight": torch.randn(4, 32, 3, 3)}
    flux2 = {
        "transformer_blocks.0.ff.linear_in": pair(6 * D, D),
        "single_transformer_blocks.0.attn.to_qkv_mlp_proj": pair(9 * D, D),
    }
    gated = {"double_blocks.0.img_mlp.0": pair(6 * D, D)}
    return [
        *sound,
        Case("only_a", {a: down} | other, refused="only a part"),
        Case(
            "two_adapters",
            {a: down, b: up} | named({Q: (down, up)}, a="lora_A.x.weight", b="lora_B.x.weight"),
            refused="twice",
        ),
        Case(
            "two_kinds",
            {a: down, b: up}
            | {
                f"transformer.{Q}.lokr_w1": torch.ones(4, 4),
                f"transformer.{Q}.lokr_w2": torch.ones(64, 64),
            },
            refused="as LoKr and as something else",
        ),
        Case("only_b", {b: up} | other, refused="only a part"),
        Case("ranks_differ", {a: down[:2], b: up} | other, refused="do not fit each other"),
        Case("one_dimension", {a: down[0], b: up[:, 0]} | other, refused="do not fit each other"),
        Case(
            "alpha_of_two",
            {a: down, b: up, f"transformer.{Q}.alpha": torch.ones(2)},
            refused="does not fit",
        ),
        Case(
            "float_offsets",
            content=changed(data_offsets=[0.0, 4.0 * D]),
            refused="size that does not fit",
        ),
        Case("float_shape", content=changed(shape=[1.0, D]), refused="size that does not fit"),
        Case("bool_shape", content=changed(shape=[True, D]), refused="size that does not fit"),
        Case("text_shape", content=changed(shape="no"), refused="in a way no LoRA is|does not fit"),
        Case("list_dtype", content=changed(dtype=["F32"]), refused="in a way no LoRA is"),
        Case("pickle", content=b"\x80\x02}q\x00X" + bytes(100), refused="pickle"),
        Case("zip", content=b"PK\x03\x04" + bytes(100), refused="pickle or an archive"),
        Case("empty", content=b"{}", refused="not a safetensors file"),
        Case(
            "control_lora", wide, refused="another architecture than nano: transformer.x_embedder"
        ),
        Case(
            "flux_dev",
            named({Q: pair(3072, 3072)}),
            refused="another architecture than nano: .* 3072 outputs",
        ),
        Case("sdxl", underscored(sd, alpha=4), refused="for Stable Diffusion"),
        Case("sd_convolution", conv, refused="for Stable Diffusion"),
        Case("flux2", named(flux2), refused=r"a LoRA for FLUX\.2, and nano is FLUX\.1"),
        Case(
            "flux2_by_its_header",
            {a: down, b: up},
            {"ss_base_model_version": "flux2_klein_4b"},
            refused=r"for FLUX\.2, as its header says \('flux2_klein_4b'\), and nano is FLUX\.1",
        ),
        Case(
            "flux2_original",
            named(gated, "diffusion_model."),
            refused=r"a LoRA for FLUX\.2, and nano is FLUX\.1",
        ),
    ]


def cases(weights: Tensors) -> list[Case]:
    """All of them; `weights` are nano's by diffusers' layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = {layer: pair(*size) for layer, size in SIZES.items()}
        fused = {
            "double_blocks.0.img_attn.qkv": pair(3 * D, D),
            "double_blocks.0.img_attn.proj": pair(D, D),
        }
        fused["single_blocks.0.linear1"] = pair(7 * D, D)
        return [
            *strengths(plain),
            *namings(plain, fused),
            *methods(weights),
            *numbers(plain, fused),
            *broken(),
        ]


def nano_weights() -> Tensors:
    from safetensors.torch import load_file

    tensors = load_file(next((NANO / "transformer").glob("*.safetensors")))
    return {
        name.removesuffix(".weight"): value.float()
        for name, value in tensors.items()
        if name.endswith(".weight") and value.ndim == 2
    }
