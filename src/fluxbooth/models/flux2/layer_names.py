"""Names of FLUX.2's layers, which have no biases.

The original fuses q, k and v of a double block, which diffusers keeps apart. What is fused in a
single block (q, k, v and the feed-forward's entrance; the exits of both) is one layer in both. The
feed-forward's entrance has two halves (SwiGLU), and modulations are shared by all blocks of a kind.
"""

from __future__ import annotations

from fractions import Fraction

from fluxbooth.models.layer_names import SHIFT_FIRST, LayerNames

ONE, THREE, FOUR, SIX, NINE = (Fraction(n) for n in (1, 3, 4, 6, 9))
QKV = (("attn.to_q", ONE), ("attn.to_k", ONE), ("attn.to_v", ONE))
ADDED = (("attn.add_q_proj", ONE), ("attn.add_k_proj", ONE), ("attn.add_v_proj", ONE))
LAYERS = LayerNames(
    model="FLUX.2",
    in_headers=r"flux[._\- ]?2|klein",
    double={
        "img_attn.qkv": QKV,
        "img_attn.proj": (("attn.to_out.0", ONE),),
        "img_mlp.0": (("ff.linear_in", SIX),),
        "img_mlp.2": (("ff.linear_out", 1 / THREE),),
        "txt_attn.qkv": ADDED,
        "txt_attn.proj": (("attn.to_add_out", ONE),),
        "txt_mlp.0": (("ff_context.linear_in", SIX),),
        "txt_mlp.2": (("ff_context.linear_out", 1 / THREE),),
    },
    single={
        "linear1": (("attn.to_qkv_mlp_proj", NINE),),
        "linear2": (("attn.to_out", 1 / FOUR),),
    },
    outside={
        "img_in": (("x_embedder", None),),
        "txt_in": (("context_embedder", None),),
        "time_in.in_layer": (("time_guidance_embed.timestep_embedder.linear_1", None),),
        "time_in.out_layer": (("time_guidance_embed.timestep_embedder.linear_2", ONE),),
        "guidance_in.in_layer": (("time_guidance_embed.guidance_embedder.linear_1", None),),
        "guidance_in.out_layer": (("time_guidance_embed.guidance_embedder.linear_2", ONE),),
        "double_stream_modulation_img.lin": (("double_stream_modulation_img.linear", SIX),),
        "double_stream_modulation_txt.lin": (("double_stream_modulation_txt.linear", SIX),),
        "single_stream_modulation.lin": (("single_stream_modulation.linear", THREE),),
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
    # `fuse_qkv_projections`, without which diffusers could not load a LoKr of the original's layer
    fused={
        "attn.to_qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "attn.to_added_qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    },
)
