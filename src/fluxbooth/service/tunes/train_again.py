"""Try again: a new tune with the photos, captions and settings of one whose training failed or was
cancelled."""

from __future__ import annotations

from fluxbooth.service.accounts import quotas
from fluxbooth.service.context import Context
from fluxbooth.service.db.tables import Tune
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.files import row_folders
from fluxbooth.service.tunes import train_more, tunes


def again(context: Context, number: int) -> Tune:
    """The new tune; the old one stays as it is.

    The caller holds the transaction. Raises NotFound; ServiceError for a tune that did not fail,
    or without room or funds.
    """
    session, account, store = context.session, context.account, context.store
    old = tunes.get(session, account, number)
    if not old.failed_at:
        raise ServiceError(f"“{old.title}” did not fail, so there is nothing to try again.")
    began = _beginning(context, old)
    size = sum(photo.bytes for photo in old.photos) + (store.size(began) if began else 0)
    quotas.check(session, context.settings, account, size)
    tune = train_more.like(old)
    session.add(tune)
    session.flush()
    row_folders.make(session, store, tune)
    train_more.share_photos(store, old, tune)
    if began:
        store.put(store.path(began), train_more.start(tune))
        tune.lora_bytes = store.size(train_more.start(tune))
    tunes.begin(context, tune, len(old.photos))
    return tune


def _beginning(context: Context, old: Tune) -> str | None:
    """The key of the LoRA that it goes on from, if it does: of the earlier tune, for its own copy
    may be gone with the failure."""
    if old.continues is None:
        return None
    earlier = context.session.get(Tune, old.continues)
    if earlier is None or earlier.deleted_at or not earlier.lora:
        raise ServiceError(
            f"The tune that “{old.title}” went on from is gone: make a new tune of photos."
        )
    return earlier.lora
