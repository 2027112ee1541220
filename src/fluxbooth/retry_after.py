"""The Retry-After header of HTTP, which is seconds or a date."""

from __future__ import annotations

import datetime
import email.utils


def seconds(header: str | None, now: datetime.datetime) -> float | None:
    """How long a server asks to be left alone for, 0 or more; None if it does not say so in
    either form."""
    text = (header or "").strip()
    if text.isascii() and text.isdecimal():
        return float(text) if len(text) < 10 else None
    try:
        asked = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return max(0.0, (asked.replace(tzinfo=asked.tzinfo or datetime.UTC) - now).total_seconds())
