"""An attribute critic beside the velocity loss: is what the caption says readable off the picture
that is predicted?

A moustache is a few hundredths of the velocity's square error, so the plain loss hardly asks for
one. A small network reads the attributes off latents, and the velocity field gets its loss where
the picture that it predicts, z = x - sigma * v, is not read as the caption says. The two cannot
agree on a secret code: the critic learns from clean latents, and from predicted ones only those
attributes that their captions left unsaid, while the field is trained on those that were said.
Where the field knows all that can be known the critic adds nothing: every picture that the caption
allows shows what it says, and so does their mean.

The reader of `fluxbooth.evaluation.likeness`, which the figures are taken with, sees pixels, and is
no part of this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fluxbooth.models.attribute_reader import with_places
from pretrain.attributes import Answers, vocabulary
from pretrain.precision import autocast
from pretrain.renders import Row

FINE, WIDTH, NOISE = 64, 192, 0.1
# 28 shapes, whose neighbours are alike: on nano's own samples, and in adversarial training
COUNTS = {"hair": 3.0}


class AttributeCritic(nn.Module):
    """Packed latents, n x tokens x 64, to the logits of each attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.values = vocabulary()
        self.into = nn.Conv2d(16 + 2, FINE, 3, padding=1)
        self.fine = nn.ModuleList(_block(FINE) for _ in range(2))
        self.down = nn.Conv2d(FINE, WIDTH, 3, 2, padding=1)
        self.coarse = nn.ModuleList(_block(WIDTH) for _ in range(3))
        self.norm = nn.GroupNorm(8, WIDTH)
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * WIDTH, len(values)) for name, values in self.values.items()}
        )

    def forward(self, z: Tensor, shape: tuple[int, int]) -> dict[str, Tensor]:
        """`shape`: latent height and width, twice those of the grid of tokens."""
        height, width = shape[0] // 2, shape[1] // 2
        latents = (
            z.view(len(z), height, width, 16, 2, 2)
            .permute(0, 3, 1, 4, 2, 5)
            .reshape(len(z), 16, *shape)
        )
        with autocast():
            features = self.into(with_places(latents).contiguous(memory_format=torch.channels_last))
            for block in self.fine:
                features = features + block(features)
            features = self.down(F.silu(features))
            for block in self.coarse:
                features = features + block(features)
            features = F.silu(self.norm(features))
            pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
            return {name: head(pooled).float() for name, head in self.heads.items()}

    def loss(
        self,
        z: Tensor,
        shape: tuple[int, int],
        answers: Sequence[Answers],
        noise: float = NOISE,
        counts: Mapping[str, float] | None = None,
    ) -> Tensor:
        """Cross-entropy of the attributes that `answers` gives, summed over a picture's, the mean
        over pictures.

        A little noise first: what it drowns, nobody would see. An attribute counts once, or as
        often as `counts` says.
        """
        logits = self(z + noise * torch.randn_like(z), shape)
        losses = []
        for name, values in self.values.items():
            wanted = torch.tensor(
                [values.index(row[name]) if name in row else -1 for row in answers]
            )
            missed = F.cross_entropy(logits[name], wanted, ignore_index=-1, reduction="sum")
            losses.append(missed * (counts or {}).get(name, 1.0))
        return torch.stack(losses).sum() / len(z)


def _block(width: int) -> nn.Module:
    return nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1))


def said_and_unsaid(
    rows: Sequence[Row], captions: Sequence[str]
) -> tuple[list[Answers], list[Answers]]:
    """What each caption says of its picture, for the field to be trained on, and the rest that
    can be seen, for the critic."""
    said = [row.said(caption) for row, caption in zip(rows, captions, strict=True)]
    unsaid = [
        {k: v for k, v in row.answers().items() if k not in named}
        for row, named in zip(rows, said, strict=True)
    ]
    return said, unsaid
