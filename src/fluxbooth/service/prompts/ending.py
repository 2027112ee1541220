"""How a prompt ends, whatever ends it: pictures that were published by then are paid for, and
nothing else is."""

from __future__ import annotations

from sqlalchemy.orm import Session

from fluxbooth.service.billing import ledger, prices
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.db.tables import Prompt, now
from fluxbooth.service.jobs.queue import JobEngine

SOME_DRAWN = "{count} of {all} pictures were drawn before that; only these are charged."


def settle(session: Session, price_list: Prices, prompt: Prompt) -> None:
    """Captures the share of the pictures that were published, and gives the rest back: of those
    that were not drawn or are kept back, and of options that a picture had no need of."""
    recipes = [image.recipe for image in prompt.images]
    if not recipes:
        ledger.refund(session, prompt)
        return
    missing = prompt.num_images - len(recipes)
    back = prompt.cost_mc * missing // prompt.num_images
    back += prices.undone(price_list, prompt.spec, recipes)
    back = min(back, prompt.cost_mc)
    prompt.cost_mc -= back
    ledger.capture(session, prompt.job, back)


def fail(session: Session, jobs: JobEngine, prompt: Prompt, reason: str) -> None:
    """An open prompt is over, with what it has by now; its callback says why."""
    prompt.user_error, prompt.trained_at = reason, now()
    if prompt.images:
        said = SOME_DRAWN.format(count=len(prompt.images), all=prompt.num_images)
        prompt.user_error = f"{reason} {said}"
    settle(session, jobs.settings.prices, prompt)
    session.flush()
    jobs.callback(session, prompt=prompt)


def take_away(session: Session, price_list: Prices, prompt: Prompt) -> None:
    """Hides a prompt with its pictures; one that is not over ends here, without a callback."""
    if prompt.is_open:
        settle(session, price_list, prompt)
    prompt.deleted_at = now()
