"""The Linear layers of a FLUX.2 network and their sizes, from its configuration or the headers
of its weights. No torch, no weights."""

from __future__ import annotations

from pathlib import Path

from fluxbooth.models.flux2 import size
from fluxbooth.models.flux2.layer_names import LAYERS
from fluxbooth.models.flux2.size import FREQUENCIES

Size = tuple[int, int]  # outputs, inputs


def sizes(source: str) -> dict[str, Size]:
    """Each Linear of a base by diffusers' name; a source that is neither a folder nor a file here
    has those of the model on the hub."""
    path = Path(source)
    shape = size.of_network(size.config(path)) if path.exists() else size.of(source)
    d = shape.width
    found = {
        "x_embedder": (d, shape.in_channels),
        "context_embedder": (d, shape.joint_attention_dim),
        "double_stream_modulation_img.linear": (6 * d, d),
        "double_stream_modulation_txt.linear": (6 * d, d),
        "single_stream_modulation.linear": (3 * d, d),
        "norm_out.linear": (2 * d, d),
        "proj_out": (shape.in_channels, d),
    }
    for told in ("timestep", "guidance")[: 1 + shape.guidance_embeds]:
        found[f"time_guidance_embed.{told}_embedder.linear_1"] = (d, FREQUENCIES)
        found[f"time_guidance_embed.{told}_embedder.linear_2"] = (d, d)
    return LAYERS.sizes(shape.num_layers, shape.num_single_layers, d) | found
