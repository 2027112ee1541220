"""How near a picture is to its text, by SigLIP or CLIP where the weights of one are in the cache of
Hugging Face already. Nothing is fetched.

A similarity is no percentage: it says something only beside those of other pictures of the same
texts, by the same network. How often a picture is nearest to its own text of several is one.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from fluxbooth.evaluation.features import cached, middle
from fluxbooth.evaluation.intervals import estimate
from fluxbooth.types import Json


@dataclass(frozen=True)
class Network:
    """Of the hub, with the mean and deviation of the pictures that it was trained on."""

    name: str
    repository: str
    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


NETWORKS = (  # Apache-2.0, and MIT
    Network("SigLIP", "google/siglip-base-patch16-224", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    Network(
        "CLIP", "openai/clip-vit-base-patch32",
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711),
    ),
)  # fmt: skip


def here() -> tuple[Network, Path] | None:
    """The first that is on this machine, and its folder."""
    for network in NETWORKS:
        if (folder := cached(network.repository)) is not None:
            return network, folder
    return None


def match(pictures: Sequence[Image.Image], texts: Sequence[str]) -> Json | None:
    """Of each picture and the text of the same place: the similarity, -1 to 1, and, of several
    texts, the share of pictures that are nearest to their own. None without a network."""
    found = here()
    if found is None:
        return None
    network, folder = found
    asked = list(dict.fromkeys(texts))
    near = similarities(network, folder, pictures, asked)
    own = torch.tensor([asked.index(text) for text in texts])
    told: Json = {
        "by": network.name,
        "similarity": [round(value, 4) for value in near.gather(1, own[:, None])[:, 0].tolist()],
    }
    if len(asked) > 1:
        told["nearest"] = estimate((near.argmax(1) == own).float().tolist())
    return told


@torch.no_grad()
def similarities(
    network: Network, folder: Path, pictures: Sequence[Image.Image], texts: Sequence[str]
) -> Tensor:
    """Cosines, pictures x texts; of a picture the middle square is seen, of a text as many tokens
    as the network reads."""
    model, tokenizer = _loaded(folder)
    mean, deviation = (torch.tensor(row).view(3, 1, 1) for row in (network.mean, network.deviation))
    pixels = torch.cat([middle(one, model.config.vision_config.image_size) for one in pictures])
    tokens = tokenizer(
        list(texts),
        padding="max_length",
        truncation=True,
        max_length=model.config.text_config.max_position_embeddings,
        return_tensors="pt",
    )
    seen = model(
        input_ids=tokens.input_ids,
        attention_mask=tokens.get("attention_mask"),
        pixel_values=(pixels / 255 - mean) / deviation,
    )
    return seen.image_embeds @ seen.text_embeds.T


@functools.cache
def _loaded(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    return (
        AutoModel.from_pretrained(folder, local_files_only=True).eval(),
        AutoTokenizer.from_pretrained(folder, local_files_only=True),
    )
