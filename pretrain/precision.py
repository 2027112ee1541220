"""The numbers that pre-training computes in."""

from __future__ import annotations

import torch


def autocast() -> torch.autocast:
    """bfloat16 where the processor multiplies it; elsewhere it is imitated, thirty times slower than float32 (AMD Zen 3)."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported())
