"""How long a training learns, as the pages New and Prices offer it: a few ways in the words of
people, and what each takes."""

from __future__ import annotations

from dataclasses import dataclass

from fluxbooth.service.billing.ledger import dollars
from fluxbooth.service.db.database import Database
from fluxbooth.service.estimates import Plan, plan
from fluxbooth.service.settings import Settings
from fluxbooth.specs import FEWEST_STEPS, PRESETS
from fluxbooth.types import Json
from fluxbooth.web.pages.texts import duration, text

PHOTOS = 10  # of the example, before there are any
FREER = 60  # steps a photo: 50 to 70 are usual where pictures resemble the photos too much
PORTRAIT, PLAIN = "flux-lora-portrait", "none"


@dataclass(frozen=True)
class Way:
    """`name` is the form's value, `steps` are for each photo."""

    name: str
    steps: int
    title: str
    help: str


def _way(name: str, steps: int, words: str) -> Way:
    said = text(f"way.{words}.help", steps=steps, fewest=FEWEST_STEPS)
    return Way(name, steps, text(f"way.{words}"), said)


WAYS = (
    _way(PORTRAIT, PRESETS[PORTRAIT].steps, "quick"),
    _way(PLAIN, PRESETS[None].steps, "thorough"),
    _way("freer", FREER, "freer"),
)
# what only an expert tells apart
MORE = tuple(
    Way(name, preset.steps, preset.title, text("way.steps", steps=preset.steps) + preset.meant_for)
    for name, preset in PRESETS.items()
    if name not in (None, PORTRAIT)
)


def fields(asked: Json, photos: int) -> Json:
    """The form of the page in the contract's words; its trial is the branch `fast`."""
    way = asked.get("preset")
    values = {name: value for name, value in asked.items() if name != "preset"} | {
        "face_crop": asked.get("face_crop") or "false"
    }
    if way == "trial":
        return values | {"branch": "fast"}
    if way == "reference":
        return values | {"model_type": "faceid"}
    if way == "freer":
        steps = asked.get("steps") or max(FEWEST_STEPS, FREER * photos)
        return values | {"preset": None, "steps": steps}
    return values | {"preset": None if way == PLAIN else way}


def planned(db: Database, settings: Settings, asked: Json, photos: int) -> Plan:
    """What a training of the form as it stands would take."""
    return plan(db, settings, fields(asked, photos), photos)


def takes(db: Database, settings: Settings, asked: Json, photos: int) -> dict[str, str]:
    """By the name of each way, in a sentence, what it takes with the rest of the form as it is."""
    names = [way.name for way in (*WAYS, *MORE)] + ["trial"]
    return {name: _sentence(db, settings, {**asked, "preset": name}, photos) for name in names}


def _sentence(db: Database, settings: Settings, asked: Json, photos: int) -> str:
    count = photos or PHOTOS
    found = planned(db, settings, asked, count)
    time = duration(found.seconds) if found.seconds else text("prices.unknown")
    said = text("way.takes", photos=count, steps=found.steps, time=time)
    return f"{said}, {dollars(found.cost_mc)}" if found.cost_mc else said
