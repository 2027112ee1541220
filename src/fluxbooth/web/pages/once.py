"""Forms that make or spend something: sent twice, they count once."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable

from sqlalchemy.orm import Session

from fluxbooth.service.db.tables import Account
from fluxbooth.types import Json
from fluxbooth.web.http import idempotency
from fluxbooth.web.http.idempotency import Answer
from fluxbooth.web.state import Services


def mark() -> str:
    """A form's own number, which it sends as `once`."""
    return secrets.token_urlsafe(16)


def made_once(
    services: Services,
    account: Account,
    path: str,
    sent: Json,
    work: Callable[[Session, Account], Answer],
) -> Answer:
    """What `work` makes of the fields that were `sent` to a path, in one transaction; the same
    answer each time for the same fields with the same `once`. Without one, each time counts.

    Unlike two requests of a program, the second of two clicks waits for the first.
    """
    asked = json.dumps([path, sent], sort_keys=True, default=idempotency.name_of)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    key = f"form-{digest}" if sent.get("once") else None
    return idempotency.made_once(services, account, key, digest, work)
