"""Pictures sooner, or larger than memory would hold at once, on the same weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

from diffusers import FirstBlockCacheConfig

from fluxbooth.models.family import Family

# a step whose first block changes less than that, relative to the step before, takes over what the
# other blocks added then
THRESHOLD = 0.08
# pixels: larger pictures are decoded in overlapping tiles, whose peak does not grow with the
# picture
TILED_ABOVE = 1_500_000


@contextlib.contextmanager
def drawing(
    family: Family, speed: Literal["exact", "fast"], size: tuple[int, int]
) -> Iterator[None]:
    """Inside, one call of the family's pipeline draws pictures of width x height pixels; "fast"
    gives slightly other ones."""
    autoencoder, network = family.pipeline().vae, family.pipeline().transformer
    if size[0] * size[1] > TILED_ABOVE:
        autoencoder.enable_tiling()
    if speed == "fast":
        network.enable_cache(FirstBlockCacheConfig(threshold=THRESHOLD))
    try:
        yield
    finally:
        autoencoder.disable_tiling()
        if speed == "fast":
            network.disable_cache()
