"""Faults of the machine that a client can be told about: the disk is full, the database is
taken."""

from __future__ import annotations

from sqlalchemy.exc import OperationalError

from fluxbooth import files, log
from fluxbooth.service.db import database
from fluxbooth.service.errors import ServiceError

FULL = (
    "The disk of this server is full: nothing was kept. Try again once its operator has made room."
)
BUSY = "The database is busy: nothing was kept. Try again."


def known(error: Exception) -> ServiceError:
    """The answer to a fault, which is logged. Raises it again if it is no such fault."""
    if isinstance(error, database.BUSY):
        log.error(error)
        full = isinstance(error, OperationalError) and database.is_full(error)
        return _full() if full else ServiceError(BUSY, 503, {"Retry-After": "5"})
    if isinstance(error, OSError) and files.is_full(error):
        log.error(error)
        return _full()
    raise error


def _full() -> ServiceError:
    return ServiceError(FULL, 507, {"Retry-After": "60"})
