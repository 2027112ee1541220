"""Names of FLUX.1's layers.

The original fuses q, k and v of a double block, and those with the feed-forward's entrance of a
single block; diffusers keeps them apart.
"""

from __future__ import annotations

from fractions import Fraction

from fluxbooth.models.layer_names import SHIFT_FIRST, LayerNames

ONE, THREE, FOUR, SIX = Fraction(1), Fraction(3), Fraction(4), Fraction(6)
QKV = (("attn.to_q", ONE), ("attn.to_k", ONE), ("attn.to_v", ONE))
ADDED = (("attn.add_q_proj", ONE), ("attn.add_k_proj", ONE), ("attn.add_v_proj", ONE))
LAYERS = LayerNames(
    model="FLUX.1",
    in_headers=r"flux[._\- ]?1",
    double={
        "img_attn.qkv": QKV,
        "img_attn.proj": (("attn.to_out.0", ONE),),
        "img_mlp.0": (("ff.net.0.proj", FOUR),),
        "img_mlp.2": (("ff.net.2", 1 / FOUR),),
        "img_mod.lin": (("norm1.linear", SIX),),
        "txt_attn.qkv": ADDED,
        "txt_attn.proj": (("attn.to_add_out", ONE),),
        "txt_mlp.0": (("ff_context.net.0.proj", FOUR),),
        "txt_mlp.2": (("ff_context.net.2", 1 / FOUR),),
        "txt_mod.lin": (("norm1_context.linear", SIX),),
    },
    single={
        "linear1": (*QKV, ("proj_mlp", FOUR)),
        "linear2": (("proj_out", 1 / Fraction(5)),),
        "modulation.lin": (("norm.linear", THREE),),
    },
    outside={
        "img_in": (("x_embedder", None),),
        "txt_in": (("context_embedder", None),),
        "time_in.in_layer": (("time_text_embed.timestep_embedder.linear_1", None),),
        "time_in.out_layer": (("time_text_embed.timestep_embedder.linear_2", ONE),),
        "vector_in.in_layer": (("time_text_embed.text_embedder.linear_1", None),),
        "vector_in.out_layer": (("time_text_embed.text_embedder.linear_2", ONE),),
        "guidance_in.in_layer": (("time_text_embed.guidance_embedder.linear_1", None),),
        "guidance_in.out_layer": (("time_text_embed.guidance_embedder.linear_2", ONE),),
        "final_layer.linear": (("proj_out", None),),
        "final_layer.adaLN_modulation.1": ((SHIFT_FIRST, Fraction(2)),),
    },
    double_norms={
        "img_attn.norm.query_norm.scale": "attn.norm_q.weight",
        "img_attn.norm.key_norm.scale": "attn.norm_k.weight",
        "txt_attn.norm.query_norm.scale": "attn.norm_added_q.weight",
        "txt_attn.norm.key_norm.scale": "attn.norm_added_k.weight",
    },
    single_norms={
        "norm.query_norm.scale": "attn.norm_q.weight",
        "norm.key_norm.scale": "attn.norm_k.weight",
    },
    processors={
        ("double_blocks", "qkv_lora1"): tuple(name for name, _ in QKV),
        ("double_blocks", "proj_lora1"): ("attn.to_out.0",),
        ("double_blocks", "qkv_lora2"): tuple(name for name, _ in ADDED),
        ("double_blocks", "proj_lora2"): ("attn.to_add_out",),
        ("single_blocks", "qkv_lora"): tuple(name for name, _ in QKV),
        ("single_blocks", "proj_lora"): ("proj_out",),
    },
)
