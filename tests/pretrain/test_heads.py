from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from fluxbooth.generation.enhance.heads import STRIDE
from pretrain.heads import changed, targets


@pytest.mark.parametrize("seed", range(6))
def test_boxes_move_with_what_is_in_them(seed: int) -> None:
    pixels = np.zeros((96, 128, 3), np.uint8)
    pixels[30:60, 40:80] = 255
    frame, ((left, top, right, bottom),) = changed(pixels, [(40, 30, 80, 60)], random.Random(seed))
    assert frame.shape == pixels.shape
    y, x = ((low + high) / 2 for low, high in ((top, bottom), (left, right)))
    inside = frame[round(y) - 4 : round(y) + 4, round(x) - 4 : round(x) + 4]
    assert inside.mean() > 200
    assert frame[:, max(0, round(right) + 12) :].mean() < 60 or right > 110


def test_the_middle_of_a_head_knows_how_far_its_sides_are() -> None:
    inside, distances = targets([(16, 8, 80, 72)], 16, 16)
    rows, columns = torch.nonzero(inside, as_tuple=True)
    assert rows.min() * STRIDE >= 16
    assert columns.max() * STRIDE <= 72
    left, top, right, bottom = distances[:, 4, 5] * STRIDE  # of the cell centred at (44, 36)
    assert (left, top, right, bottom) == (44 - 16, 36 - 8, 80 - 44, 72 - 36)
