"""Tokenizers for single files, which hold none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from fluxbooth.errors import InputError


def beside(path: Path, name: str, source: str) -> Any:
    """The tokenizer in the folder `name` beside a network's file, else that of `source` in the
    Hugging Face cache. Raises InputError if it is in neither."""
    folder = path.parent / name
    try:
        return AutoTokenizer.from_pretrained(
            folder if folder.is_dir() else source, local_files_only=True
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"The {name} that belongs to {path} is not on this machine: run `hf download {source} "
            "--exclude '*.bin' '*.h5' '*.msgpack' '*.safetensors'`, or put the folder "
            f"{name} of the model's repository beside it."
        ) from error


def check_vocabulary(tokenizer: Any, encoder: Any, path: Path) -> None:
    """Raises InputError if a tokenizer is not that of the encoder in `path`."""
    # transformers makes an empty tokenizer of a folder that lacks its files, and says nothing
    known, words = encoder.config.vocab_size, len(tokenizer)
    if not 0.9 * known <= words <= known:
        raise InputError(
            f"{path} reads {known} different tokens, its tokenizer {tokenizer.name_or_path} "
            f"has {words}: download that again."
        )
