"""Small FLUX.2 [klein] folders in diffusers' layout, with random weights.

They have every part of the real ones: 30 layers of Qwen3, because the states of layers 9, 18 and 27
are read and those above are not, a tokenizer with its chat template, the batch norm of the autoencoder, blocks without
biases. A picture of 64 x 64 pixels is 16 tokens.

    python -m tests.support.klein FOLDER [base]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3ForCausalLM

TEXT_WIDTH = 16  # of a token in one layer of the text encoder; three layers are read
NETWORK: dict[str, Any] = {
    "in_channels": 128, "num_layers": 1, "num_single_layers": 2, "attention_head_dim": 16,
    "num_attention_heads": 2, "joint_attention_dim": 3 * TEXT_WIDTH,
    "axes_dims_rope": (4, 4, 4, 4), "guidance_embeds": False,
}  # fmt: skip
AUTOENCODER: dict[str, Any] = {
    "block_out_channels": (4, 8, 16, 16), "layers_per_block": 1, "norm_num_groups": 4,
    "latent_channels": 32, "sample_size": 64,
}  # fmt: skip
ENCODER: dict[str, Any] = {
    "hidden_size": TEXT_WIDTH, "intermediate_size": 32, "num_hidden_layers": 30,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
    "max_position_embeddings": 1024, "tie_word_embeddings": True,
}  # fmt: skip
# as klein's folders have them
SCHEDULER: dict[str, Any] = {
    "shift": 3.0, "use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15,
    "base_image_seq_len": 256, "max_image_seq_len": 4096, "time_shift_type": "exponential",
}  # fmt: skip
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)


def folder(
    place: Path,
    *,
    distilled: bool = True,
    seed: int = 0,
    network: dict[str, Any] | None = None,
) -> Path:
    """Writes a folder of random weights in float32, and gives it back.

    The distilled one and the base differ in `is_distilled` alone, and with other seeds in their
    networks' weights; `network` changes the network's configuration.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        encoder = Qwen3ForCausalLM(Qwen3Config(vocab_size=256 + len(SPECIAL), **ENCODER))
        autoencoder = _autoencoder()
        torch.manual_seed(2 + seed)
        transformer = Flux2Transformer2DModel(**NETWORK | (network or {}))
    Flux2KleinPipeline(
        FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        autoencoder,
        encoder.eval(),
        tokenizer(),
        transformer.eval(),
        is_distilled=distilled,
    ).save_pretrained(place)
    return place


def tokenizer() -> Qwen2Tokenizer:
    """A token a byte, and Qwen3's special ones and chat template."""
    made = Qwen2Tokenizer(
        vocab={letter: number for number, letter in enumerate(sorted(ByteLevel.alphabet()))},
        merges=[],
        unk_token=SPECIAL[0],
        eos_token=SPECIAL[2],
        pad_token=SPECIAL[0],
        additional_special_tokens=list(SPECIAL[1:]),
    )
    made.chat_template = CHAT
    return made


def _autoencoder() -> AutoencoderKLFlux2:
    """Its batch norm has statistics of its own, or normalising by them would change nothing."""
    made = AutoencoderKLFlux2(**AUTOENCODER)
    made.bn.running_mean = 0.1 * torch.randn(made.bn.num_features)
    made.bn.running_var = 0.5 + torch.rand(made.bn.num_features)
    return made.eval()


if __name__ == "__main__":
    folder(Path(sys.argv[1]), distilled="base" not in sys.argv[2:])
