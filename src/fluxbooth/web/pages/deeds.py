"""The buttons of one picture, as the fields of a prompt: what each costs and takes."""

from __future__ import annotations

from sqlalchemy.orm import Session

from fluxbooth.prompts import options
from fluxbooth.prompts.options import MOST_OUTPAINTED
from fluxbooth.service import estimates
from fluxbooth.service.billing.ledger import dollars
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Account, Image, Prompt
from fluxbooth.service.errors import Invalid, NotFound
from fluxbooth.service.prompts import tags
from fluxbooth.service.settings import Settings
from fluxbooth.types import Json
from fluxbooth.web.pages import view_models
from fluxbooth.web.pages.texts import duration, text

PART = 0.9  # how far the part that is changed departs from what was there
EXTENDED = 1.5  # how many times as wide and high the extended picture is
# where the picture stays, by the side on which something is added
SIDES = {
    "around": "center",
    "left": "right-center",
    "right": "left-center",
    "above": "bottom-center",
    "below": "top-center",
}
# for what a button would take before its fields are filled in
ANY = {"side": "around", "words": "person", "text": ""}


def quotes(
    session: Session, settings: Settings, account: Account, row: Image, of: Prompt
) -> dict[str, str]:
    """What stands beside each button."""
    return {
        deed: _said(
            estimates.drawing_plan(
                session,
                settings,
                account,
                PromptForm.read(fields(row, of, ANY | {"deed": deed})),
                of.tune_id,
                row.width * row.height,
            )
        )
        for deed in view_models.deeds()
    }


def takes(session: Session, settings: Settings, account: Account, of: Prompt) -> str:
    """What one picture more of the kind takes."""
    form = PromptForm.lenient({**of.fields, "text": of.text, "num_images": 1})
    return _said(estimates.drawing_plan(session, settings, account, form, of.tune_id))


def _said(found: estimates.DrawingPlan) -> str:
    said = text("picture.takes", time=duration(found.seconds))
    return f"{said}, {dollars(found.cost_mc)}" if found.cost_mc else said


def fields(row: Image, of: Prompt, asked: dict[str, str]) -> Json:
    """In the contract's words. Raises NotFound for a button that is none, Invalid for a part or a
    side that is none."""
    deed = asked["deed"]
    if deed not in view_models.deeds():
        raise NotFound
    if deed == "part" and not asked["words"].strip():
        raise Invalid({"words": [text("picture.part.missing")]})
    if deed == "extend" and asked["side"] not in SIDES:
        raise Invalid({"side": [text("picture.side.missing")]})
    words = options.without_flags(of.text)
    if deed == "part" and asked["text"].strip():
        loras = "".join(f"{tag[0]} " for tag in tags.TAG.finditer(of.text))
        words = loras + asked["text"]
    told: Json = {"text": " ".join(words.split()), "seed": row.seed, "denoising_strength": 0}
    if deed == "part":
        return told | {"mask_prompt": asked["words"], "denoising_strength": PART}
    if deed == "extend":
        return told | _larger_canvas(row, asked["side"])
    return told | {view_models.DEEDS[deed]: True}


def _larger_canvas(row: Image, side: str) -> Json:
    anchor = SIDES[side]
    across = EXTENDED if "left" in anchor or "right" in anchor or anchor == "center" else 1
    down = EXTENDED if "top" in anchor or "bottom" in anchor or anchor == "center" else 1
    most = (MOST_OUTPAINTED / (row.width * row.height * across * down)) ** 0.5
    width, height = (
        max(length, int(length * factor * min(1.0, most)) // 16 * 16)
        for length, factor in ((row.width, across), (row.height, down))
    )
    return {"outpaint": anchor, "outpaint_width": width, "outpaint_height": height}
