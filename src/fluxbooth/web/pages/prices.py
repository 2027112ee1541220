"""The page Prices: what training and pictures cost here, with an example of ten photos."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from fluxbooth.service.billing.ledger import dollars
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.estimates import drawing_plan
from fluxbooth.types import Json
from fluxbooth.web.http.auth import Using
from fluxbooth.web.pages.login import Viewer, same_origin
from fluxbooth.web.pages.render import page
from fluxbooth.web.pages.texts import duration, text
from fluxbooth.web.pages.training_ways import MORE, PHOTOS, WAYS, Way, planned
from fluxbooth.web.state import Services

PICTURES = 4  # of the example
router = APIRouter(prefix="/app", include_in_schema=False, dependencies=[Depends(same_origin)])


@router.get("/prices")
def prices(request: Request, services: Using, account: Viewer) -> Response:
    settings = services.settings
    trainings = [_training(services, way) for way in (*WAYS, *MORE)]
    with services.db.read() as session:
        form = PromptForm.read({"text": "a", "num_images": PICTURES})
        drawn = drawing_plan(session, settings, account, form, next(iter(settings.bases)))
    options = {name: dollars(price) for name, price in settings.prices.options.items() if price}
    return page(
        request,
        "prices.html",
        title=text("prices.title"),
        free=settings.prices == type(settings.prices)(),
        photos=PHOTOS,
        trainings=trainings,
        pictures=PICTURES,
        picture={
            "each": dollars(settings.prices.picture),
            "megapixel": dollars(settings.prices.megapixel),
            "cost": dollars(drawn.cost_mc),
            "time": duration(drawn.seconds),
        },
        options=options,
    )


def _training(services: Services, way: Way) -> Json:
    found = planned(services.db, services.settings, {"preset": way.name}, PHOTOS)
    return {
        "title": way.title,
        "steps": found.steps,
        "cost": dollars(found.cost_mc),
        "time": duration(found.seconds) if found.seconds else None,
    }
