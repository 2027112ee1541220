"""Where a face is in a photo."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Face:
    """Brows to chin, as fractions of the photo's width and height; beyond 0 and 1 where the photo
    cuts it off."""

    left: float
    top: float
    right: float
    bottom: float
    turned: bool = False  # to a side

    @property
    def height(self) -> float:
        return self.bottom - self.top
