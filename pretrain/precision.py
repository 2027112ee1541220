"""The numbers that pre-training computes in."""

from __future__ import annotations

import torch

from fluxbooth import hardware

NATIVE_BFLOAT16 = hardware.cpu_multiplies_bfloat16()
NUMBER = torch.bfloat16 if NATIVE_BFLOAT16 else torch.float32


def autocast() -> torch.autocast:
    """bfloat16 where the processor multiplies it; elsewhere it is imitated, thirty times slower
    than float32 (AMD Zen 3)."""
    return torch.autocast("cpu", torch.bfloat16, enabled=NATIVE_BFLOAT16)
