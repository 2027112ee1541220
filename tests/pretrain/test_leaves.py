"""Dead leaves."""

from __future__ import annotations

import numpy as np

from pretrain import leaves


def test_dead_leaves_are_as_rough_as_photographs() -> None:
    """Their spectrum falls with frequency f as f^-2 or so, as that of photographs does."""
    power = np.zeros((64, 33))
    for seed in range(40):
        grey = leaves.picture(64, np.random.default_rng(seed)).mean(2)
        power += abs(np.fft.rfft2(grey - grey.mean())) ** 2
    f = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.rfftfreq(64)[None])
    band = (f > 0.05) & (f < 0.4)
    slope = np.polyfit(np.log(f[band]), np.log(power[band]), 1)[0]
    assert -2.8 < slope < -1.5
