"""How long the steps that follow a picture may take: what is drawn anew in windows takes as long as
so many pictures, and nobody waits for hours."""

from __future__ import annotations

from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import outpainting, tiles
from fluxbooth.models import timing
from fluxbooth.models.base import Base
from fluxbooth.specs import GenerateSpec, ResolvedGenerateSpec

LONGEST = 30 * 60  # seconds, by the machine's speed as it is measured or known


def check(spec: ResolvedGenerateSpec, row: Base, size: tuple[int, int]) -> None:
    """Raises InputError where drawing parts of a picture of (width, height) pixels anew would take
    this machine longer than LONGEST."""
    if spec.outpaint:
        whole, _ = outpainting.canvas(
            size, spec.outpaint, spec.outpaint_width, spec.outpaint_height
        )
        _check(spec, row, whole, outpainting.DETAILED)
        size = whole
    if spec.hires_fix or spec.tiled_upscale or spec.tiled_upscale_v2:
        factor = spec.enlargement(size, row.native_area)
        large = (round(size[0] * factor), round(size[1] * factor))
        _check(spec, row, large, spec.hires_denoising_strength)


def _check(spec: ResolvedGenerateSpec, row: Base, size: tuple[int, int], strength: float) -> None:
    padded = (-(-size[0] // tiles.ALIGN) * tiles.ALIGN, -(-size[1] // tiles.ALIGN) * tiles.ALIGN)
    windows = len(tiles.windows(padded, row.native_side, row.largest_area))
    if windows == 1:  # no more than the picture itself
        return
    steps = max(1, round(spec.steps * strength))
    each = timing.guessed_drawing(GenerateSpec(base=spec.base, steps=steps), row.native_area)
    if windows * each > LONGEST:
        raise InputError(
            f"Drawing {size[0]} x {size[1]} pixels anew in {windows} windows would take this "
            f"machine about {windows * each / 60:.0f} minutes, and {LONGEST // 60} at most are "
            "spent on it: ask for a smaller picture."
        )
