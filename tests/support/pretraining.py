"""Rows as pretraining draws them, and a network that is a number."""

from __future__ import annotations

import random

import torch

from pretrain.renders import Portrait, Row, training_row

ROWS = [training_row(random.Random(f"row {i}")) for i in range(600)]


def is_clay(row: Row) -> bool:
    return isinstance(row, Portrait) and row.person.style == "clay"


class Field:
    """A velocity field without weights but one: it adds the caption's length, its encoding, to
    what it sees."""

    def __init__(self, slope: float) -> None:
        self.slope = torch.tensor(slope, requires_grad=True)

    def encode(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        lengths = torch.tensor([float(len(caption)) for caption in captions])
        return lengths.view(-1, 1, 1), lengths.view(-1, 1)

    def velocity(
        self,
        x: torch.Tensor,
        sigma: torch.Tensor,
        encoded: tuple[torch.Tensor, torch.Tensor],
        *_: object,
    ) -> torch.Tensor:
        return self.slope * x + sigma.view(-1, 1, 1) + encoded[0]
