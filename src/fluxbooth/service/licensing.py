"""What the licences of the bases ask of whoever serves them: what a server refuses to start for,
and what its operator is told."""

from __future__ import annotations

from fluxbooth.errors import InputError
from fluxbooth.models import licences, registry
from fluxbooth.models.base import Base
from fluxbooth.service.contract import responses
from fluxbooth.service.settings import Settings

LORA_DOWNLOAD = (
    "FLUXBOOTH_LORA_DOWNLOAD=true hands out LoRAs of {names}, and the licence forbids to give them "
    "to third parties over an API: let only your own people have keys, or set it to false."
)


def check(settings: Settings) -> None:
    """Raises InputError for a base that cannot be trained or is none, and for what its licence asks
    of a server and the settings do not say."""
    registry.find_to_train(settings.base)
    for row in served(settings):
        if licences.is_limited(row):
            _check_statement(row, settings)
            _check_filter(row, settings)


def served(settings: Settings) -> list[Base]:
    """Every base that trains or draws here."""
    return [registry.find(name) for name in sorted(settings.served)]


def uses(settings: Settings) -> list[tuple[int, str, Base, str]]:
    """The base_tune_ids that are served: each with its title, its base, and what that may be used
    for."""
    rows = {number: registry.find(settings.base_of(number)) for number in settings.bases}
    return [
        (number, responses.title_of(number, settings), row, licences.meaning(row))
        for number, row in rows.items()
    ]


def notices(settings: Settings) -> list[str]:
    """Sentences for the operator, at the start and on the page Server."""
    limited = [row.name for row in served(settings) if licences.is_limited(row)]
    if settings.lora_download and limited:
        return [LORA_DOWNLOAD.format(names=" and ".join(limited))]
    return []


def _check_statement(row: Base, settings: Settings) -> None:
    stated = settings.flux_dev_license
    if stated is None:
        raise InputError(
            f"{row.name} may be served only under a licence that you hold and state: set "
            "FLUXBOOTH_FLUX_DEV_LICENSE=noncommercial for research and personal use, or "
            "FLUXBOOTH_FLUX_DEV_LICENSE=commercial if Black Forest Labs sold you one."
        )
    if stated == "noncommercial" and not settings.prices.are_free:
        raise InputError(
            f"FLUXBOOTH_PRICES asks for money, and {row.name} is served under a licence that is "
            "not commercial: take the prices out, hold a commercial licence, or serve flux2-klein, "
            "which may be sold."
        )
    if stated == "commercial" and licences.metered_as(row) is None:
        raise InputError(
            f"{row.name} cannot be served under FLUXBOOTH_FLUX_DEV_LICENSE=commercial: it is under "
            f"the {row.licence} License, and no way is known to report its pictures. Serve "
            "flux2-klein instead, which may be sold."
        )
    if stated == "commercial" and not settings.bfl_key:
        raise InputError(
            f"A commercial licence of {row.name} asks that every picture is reported to Black "
            "Forest Labs: set FLUXBOOTH_BFL_KEY to the key that came with it."
        )


def _check_filter(row: Base, settings: Settings) -> None:
    if "safety" not in settings.model_fields_set:
        raise InputError(
            f"The licence of {row.name} asks for a filter of what is drawn, or for a look at it "
            "before others see it: set FLUXBOOTH_SAFETY to block or flag, or to off if you do that "
            "in another way."
        )
