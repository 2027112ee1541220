from __future__ import annotations

import torch

from fluxbooth.generation.enhance import harmonic


def test_what_is_known_stays_and_each_other_cell_is_the_mean_of_its_neighbours() -> None:
    known = torch.zeros(1, 50, 70)
    known[:, 10:31, 20:41] = 1
    given = torch.rand(2, 50, 70, generator=torch.Generator().manual_seed(0)) * known
    grid = harmonic.continued(given, known)
    assert torch.equal(grid[:, known[0] > 0], given[:, known[0] > 0])
    around = grid[:, 1:-1, :-2] + grid[:, 1:-1, 2:] + grid[:, :-2, 1:-1] + grid[:, 2:, 1:-1]
    off = (grid[:, 1:-1, 1:-1] - around / 4).abs() * (1 - known[:, 1:-1, 1:-1])
    assert off.max() < 0.01


def test_between_two_edges_it_is_straight() -> None:
    known = torch.zeros(1, 8, 65)
    known[..., 0] = known[..., -1] = 1
    given = torch.zeros(1, 8, 65)
    given[..., -1] = 64
    assert torch.allclose(harmonic.continued(given, known)[0, 4], torch.arange(65.0), atol=2)


def test_what_is_the_same_all_around_is_the_same_everywhere() -> None:
    known = torch.zeros(1, 33, 47)
    known[:, 5:20, 40:] = 1
    assert torch.allclose(harmonic.continued(7 * known, known), torch.tensor(7.0), atol=1e-4)
