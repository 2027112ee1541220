"""The ids of the bases, which clients send as numbers: the public ones, and ours of bases that have
none."""

from __future__ import annotations

import datetime
from dataclasses import dataclass


@dataclass(frozen=True)
class PublicBase:
    number: int
    base: str  # its name here
    title: str
    key: str  # of the catalogue that command-line clients read


# the public API has FLUX.2 [klein] 4B and Kontext under no number that it tells: these are ours,
# below all numbers of its tunes that anybody could mean
_ROWS = (
    PublicBase(1504944, "flux-dev", "Flux1.dev", "flux"),
    PublicBase(3063697, "flux-krea", "Flux1.krea", "flux-krea"),
    PublicBase(1001, "flux-kontext", "Flux1.kontext", "flux-kontext"),
    PublicBase(2004, "flux2-klein", "Flux2.klein 4B", "flux2-klein"),
    PublicBase(2005, "flux2-klein-base", "Flux2.klein base 4B", "flux2-klein-base"),
    PublicBase(2009, "flux2-klein-9b", "Flux2.klein 9B", "flux2-klein-9b"),
)
PUBLIC = {row.number: row for row in _ROWS}
NUMBERS = {row.base: row.number for row in _ROWS}
FLUX_DEV, FLUX_KREA, FLUX2_KLEIN = (
    NUMBERS[name] for name in ("flux-dev", "flux-krea", "flux2-klein")
)
PUBLIC_SINCE = datetime.datetime(2024, 8, 1, tzinfo=datetime.UTC)


def title(number: int) -> str:
    return PUBLIC[number].title if number in PUBLIC else f"Base {number}"
