"""How long the steps that follow a picture may take: what is drawn anew in windows takes as long as
so many pictures, and nobody waits for hours. And what is the largest of it."""

from __future__ import annotations

from collections.abc import Iterator

from fluxbooth.errors import InputError
from fluxbooth.generation.enhance import outpainting, tiles
from fluxbooth.models import registry, timing
from fluxbooth.models.base import Base
from fluxbooth.specs import GenerateSpec, ResolvedGenerateSpec

LONGEST = 30 * 60  # seconds, by the machine's speed as it is measured or known


def check(spec: ResolvedGenerateSpec, row: Base, size: tuple[int, int], looks_at: int = 0) -> None:
    """Raises InputError where drawing parts of a picture of (width, height) pixels anew, while so
    many pictures are looked at, would take this machine longer than LONGEST."""
    for whole, strength in _redrawn(spec, row, size):
        _check(spec, row, whole, strength, looks_at)


def largest_piece(spec: ResolvedGenerateSpec, row: Base, size: tuple[int, int]) -> int:
    """Pixels of the largest piece that is drawn anew at once of a picture of (width, height)
    pixels; 0 where none is."""
    pieces = [0]
    for whole, _ in _redrawn(spec, row, size):
        windows = _windows(row, whole)
        pieces += [window.width * window.height for window in windows]
        if spec.outpaint and len(windows) > 1:  # it is laid out before
            pieces.append(row.native_area)
    if any(getattr(spec, name) for name in registry.OF_FACES):
        pieces.append(row.native_area)
    return max(pieces)


def _redrawn(
    spec: ResolvedGenerateSpec, row: Base, size: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], float]]:
    """Width and height of each picture that is drawn anew as a whole, and how strongly."""
    if spec.outpaint:
        size, _ = outpainting.canvas(size, spec.outpaint, spec.outpaint_width, spec.outpaint_height)
        yield size, outpainting.DETAILED
    if spec.hires_fix or spec.tiled_upscale or spec.tiled_upscale_v2:
        factor = spec.enlargement(size, row.native_area)
        yield (round(size[0] * factor), round(size[1] * factor)), spec.hires_denoising_strength


def _windows(row: Base, size: tuple[int, int]) -> list[tiles.Window]:
    padded = (-(-size[0] // tiles.ALIGN) * tiles.ALIGN, -(-size[1] // tiles.ALIGN) * tiles.ALIGN)
    return tiles.windows(padded, row.native_side, row.largest_area)


def _check(
    spec: ResolvedGenerateSpec, row: Base, size: tuple[int, int], strength: float, looks_at: int
) -> None:
    windows = len(_windows(row, size))
    if windows == 1:  # no more than the picture itself
        return
    steps = max(1, round(spec.steps * strength))
    each = timing.guessed_drawing(GenerateSpec(base=spec.base, steps=steps), row.native_area)
    each *= timing.slower(row, row.native_area, looks_at)
    if windows * each > LONGEST:
        raise InputError(
            f"Drawing {size[0]} x {size[1]} pixels anew in {windows} windows would take this "
            f"machine about {windows * each / 60:.0f} minutes, and {LONGEST // 60} at most are "
            "spent on it: ask for a smaller picture."
        )
