"""Names of the original FLUX.1 network's Linear layers, and those of diffusers for them.

The original fuses layers that share their input: q, k and v of a double block, and those with the
feed-forward's entrance of a single block. Reading this loads no weights and no torch.
"""

from __future__ import annotations

import re

_QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
DOUBLE: dict[str, tuple[str, ...]] = {
    "img_attn.qkv": _QKV,
    "img_attn.proj": ("attn.to_out.0",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "txt_attn.proj": ("attn.to_add_out",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "txt_mod.lin": ("norm1_context.linear",),
}
SINGLE: dict[str, tuple[str, ...]] = {
    "linear1": (*_QKV, "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
}
OUTSIDE: dict[str, tuple[str, ...]] = {
    "img_in": ("x_embedder",),
    "txt_in": ("context_embedder",),
    "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
    "time_in.out_layer": ("time_text_embed.timestep_embedder.linear_2",),
    "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
    "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
    "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
    "guidance_in.out_layer": ("time_text_embed.guidance_embedder.linear_2",),
    "final_layer.linear": ("proj_out",),
    "final_layer.adaLN_modulation.1": ("norm_out.linear",),
}
# the scales of the norms of queries and keys, which no LoRA adapts
DOUBLE_NORMS = {
    "img_attn.norm.query_norm.scale": "attn.norm_q.weight",
    "img_attn.norm.key_norm.scale": "attn.norm_k.weight",
    "txt_attn.norm.query_norm.scale": "attn.norm_added_q.weight",
    "txt_attn.norm.key_norm.scale": "attn.norm_added_k.weight",
}
SINGLE_NORMS = {
    "norm.query_norm.scale": "attn.norm_q.weight",
    "norm.key_norm.scale": "attn.norm_k.weight",
}
# its outputs are (scale, shift) in diffusers, (shift, scale) in the original
SHIFT_FIRST = "norm_out.linear"

_NORMS = {
    "double_blocks": ("transformer_blocks", DOUBLE_NORMS),
    "single_blocks": ("single_transformer_blocks", SINGLE_NORMS),
}
_FOLDERS = {
    "double_blocks": ("transformer_blocks", DOUBLE),
    "single_blocks": ("single_transformer_blocks", SINGLE),
}
_PLACES = {
    f"{theirs}|{part}": (f"{ours}|{original}", place, len(parts))
    for ours, theirs, table in (
        ("", "", OUTSIDE),
        *((ours, theirs, table) for ours, (theirs, table) in _FOLDERS.items()),
    )
    for original, parts in table.items()
    for place, part in enumerate(parts)
}
_UNDERSCORED = {place.replace(".", "_"): place.partition("|")[2] for place in _PLACES}


def parts_of(kohya: str) -> tuple[str, ...] | None:
    """diffusers' layers behind a name with every dot an underscore
    (`double_blocks_0_img_attn_qkv`); None if there is no such one."""
    block = re.fullmatch(r"(double_blocks|single_blocks)_(\d+)_(\w+)", kohya)
    folder, table = _FOLDERS[block[1]] if block else ("", OUTSIDE)
    rest = block[3] if block else kohya
    for original, parts in table.items():
        if original.replace(".", "_") == rest:
            return tuple(f"{folder}.{block[2]}.{part}" for part in parts) if block else parts
    return None


def layer_of(underscored: str) -> str | None:
    """diffusers' layer behind its own name with every dot an underscore
    (`transformer_blocks_0_attn_to_q`); None if there is none."""
    block = re.fullmatch(r"(transformer_blocks|single_transformer_blocks)_(\d+)_(\w+)", underscored)
    found = _UNDERSCORED.get(f"{block[1]}|{block[3]}" if block else f"|{underscored}")
    if found is None:
        return None
    return f"{block[1]}.{block[2]}.{found}" if block else found


def norm_of(scale: str) -> str | None:
    """diffusers' name of a scale of the original's
    (`double_blocks.0.img_attn.norm.query_norm.scale`); None if there is no such one."""
    block = re.fullmatch(r"(double_blocks|single_blocks)\.(\d+)\.(.+)", scale)
    folder, table = _NORMS[block[1]] if block else ("", {})
    return f"{folder}.{block[2]}.{table[block[3]]}" if block and block[3] in table else None


def heights(parts: int, width: int) -> list[int]:
    """Outputs of the parts of a fused layer: q, k and v as wide as the network, the
    feed-forward's entrance four times."""
    return [width, width, width, 4 * width][:parts]


def place_of(layer: str) -> tuple[str, int, int] | None:
    """The original's layer that diffusers' `layer` is in, which of its parts it is, and how
    many there are; None if there is none."""
    block = re.fullmatch(r"(transformer_blocks|single_transformer_blocks)\.(\d+)\.(.+)", layer)
    found = _PLACES.get(f"{block[1]}|{block[3]}" if block else f"|{layer}")
    if found is None:
        return None
    folder, original = found[0].split("|")
    return (f"{folder}.{block[2]}.{original}" if block else original, *found[1:])
