"""The captions' language, which both text encoders learn before the transformer is trained, as
FLUX.1's were trained long before it.

Trained through the pictures alone, encoders from nothing took the place and little else from a
caption in 245,000 samples. Here linear probes ask each what a caption says of every attribute
("red" of the hoodie, nothing of the mood), which costs no pixels.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pretrain import text
from pretrain.attributes import vocabulary
from pretrain.checkpoint import load_state, save_state
from pretrain.precision import autocast
from pretrain.renders import training_row, with_rare_token
from pretrain.schedule import descend, set_rate
from pretrain.transformer import Nano

BATCH, PROSE, LEARNING_RATE, WARMUP = 96, 0.25, 1e-3, 50
UNSAID = "unsaid"


class AttributeProbes(nn.Module):
    """Linear probes, one an attribute, on CLIP's pooled vector and on the mean of T5's states: the
    transformer can use what is linear there."""

    def __init__(self) -> None:
        super().__init__()
        self.values = {name: [UNSAID, *values] for name, values in vocabulary().items()}
        widths = {"pooled": text.WIDTH_CLIP, "states": text.WIDTH_T5}
        self.heads = nn.ModuleDict(
            {
                f"{source}_{name}": nn.Linear(width, len(values))
                for source, width in widths.items()
                for name, values in self.values.items()
            }
        )

    def loss(
        self, encoded: tuple[Tensor, Tensor], answers: list[dict[str, str]]
    ) -> tuple[Tensor, float]:
        """The mean cross-entropy over attributes, and the share of what was said that both
        encoders' heads got right."""
        states, pooled = encoded
        inputs = {"pooled": pooled.float(), "states": states.float().mean(1)}
        losses, right, asked = [], 0, 0
        for name, values in self.values.items():
            wanted = torch.tensor([values.index(row.get(name, UNSAID)) for row in answers])
            spoken = wanted > 0
            for source, features in inputs.items():
                logits = self.heads[f"{source}_{name}"](features)
                losses.append(F.cross_entropy(logits, wanted))
                right += int((logits.argmax(1).eq(wanted) & spoken).sum())
            asked += 2 * int(spoken.sum())
        return torch.stack(losses).mean(), right / asked


def train(model: Nano, steps: int, checkpoint: Path) -> Iterator[tuple[int, float, Nano]]:
    """Yields (step, share of what was said understood since the last yield, model) every fifty
    steps; resumes from `checkpoint`."""
    torch.manual_seed(0)
    probes = AttributeProbes()
    both = nn.ModuleDict({"model": model, "probes": probes})
    learnt = [
        *model.text_encoder.parameters(),
        *model.text_encoder_2.parameters(),
        *probes.parameters(),
    ]
    optimizer = torch.optim.AdamW(
        learnt, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    start, shares = load_state(checkpoint, both, optimizer), list[float]()
    for step in range(start, steps):
        set_rate([optimizer], LEARNING_RATE, step, steps, WARMUP)
        rng = random.Random(f"language {step}")
        rows = [training_row(rng) for _ in range(BATCH)]
        captions = [
            with_rare_token(
                row.caption(rng, prose=rng.random() < PROSE), row, rng, text.RARE_TOKENS
            )
            for row in rows
        ]
        with autocast():
            encoded = model.encode(captions, rng.choice((text.PHRASES_LENGTH, text.TEXT_LENGTH)))
        loss, share = probes.loss(
            encoded, [row.said(caption) for row, caption in zip(rows, captions, strict=True)]
        )
        descend(loss, [optimizer], both)
        shares.append(share)
        if (step + 1) % 50 == 0 or step + 1 == steps:
            save_state(checkpoint, step + 1, both, optimizer)
            yield step + 1, sum(shares) / len(shares), model
            shares.clear()
