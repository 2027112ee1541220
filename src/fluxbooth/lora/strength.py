"""The strength of a LoRA where its file does not have it in the weights: the one place that reads
alpha, whoever uses the file.

A layer's change is multiplied by alpha / rank, or alpha / sqrt(rank) for an rsLoRA. Alpha is, by
what loaders do:

1. a tensor `alpha` beside the layer's own (kohya, LyCORIS, OneTrainer, early trainers of diffusers'
   names);
2. else what peft's configuration says, with exceptions by layer: diffusers and SimpleTuner keep it
   in the file's header (`lora_adapter_metadata`), peft in `adapter_config.json` beside
   `adapter_model.safetensors`;
3. else the rank, so that the strength is 1.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fluxbooth.lora.names import Group, NoLora, stripped

PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
LARGEST_CONFIG = 2**20  # bytes


class Strengths:
    """Of the layers of one file. Raises NoLora for metadata that cannot be understood."""

    def __init__(self, metadata: Mapping[str, str], path: Path) -> None:
        try:
            config = _config(metadata, path)
            alpha = config.get("lora_alpha")
            root = config.get("use_rslora")
            patterns = config.get("alpha_pattern") or {}
            self._alpha = None if alpha is None else _finite(alpha)
            self._root = bool(root)
            self._patterns = {str(key): _finite(value) for key, value in patterns.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise NoLora(
                "has damaged metadata (lora_adapter_metadata): download or train it again."
            ) from error
        # peft reads them as regular expressions
        if not all(re.fullmatch(r"\^?[\w.]+", key) for key in self._patterns):
            raise NoLora(
                "gives alpha by patterns instead of layers: save it again with diffusers' "
                "save_lora_weights."
            )

    def of(self, group: Group, alpha: float | None) -> float:
        """What a layer's change is multiplied by; `alpha` is the tensor's, None where there is
        none."""
        # a LoKr whose factors are whole matrices has no rank to divide by, and loaders pass over
        # its alpha
        if not group.rank:
            return 1.0
        if alpha is not None:
            return alpha / group.rank
        told = (
            self._told(stripped(group.name)) if group.naming in ("diffusers", "original") else None
        )
        return 1.0 if told is None else told / (group.rank**0.5 if self._root else group.rank)

    def _told(self, layer: str) -> float | None:
        """As peft finds it: the first exception that is the layer's name or, unless it begins
        with ^, ends it."""

        def means(key: str) -> bool:
            return layer == key[1:] if key.startswith("^") else f".{layer}".endswith(f".{key}")

        return next((value for key, value in self._patterns.items() if means(key)), self._alpha)


def _config(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    """peft's configuration of the transformer's layers, empty if there is none."""
    told, beside = metadata.get("lora_adapter_metadata"), path.with_name(PEFT_CONFIG)
    if told is None and path.name == PEFT_FILE and beside.is_file():
        if beside.stat().st_size > LARGEST_CONFIG:
            raise ValueError
        told = beside.read_text()
    return {
        key.removeprefix("transformer."): value for key, value in json.loads(told or "{}").items()
    }


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number
