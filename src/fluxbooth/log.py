"""Log lines of JSON: when, what, and the ids to find it by. Never a key, a query, a body, a prompt
or a file name of a client.

A line that is written on behalf of a request or a job carries its id: `request` is what the answer
says in X-Request-Id, `job` is `tune-7` or `prompt-9`. The line about an accepted job carries both.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_ABOUT: ContextVar[dict[str, str]] = ContextVar("about")
DEEPEST_FRAMES = 8


@contextlib.contextmanager
def about(**ids: str) -> Iterator[None]:
    """Every line inside, also from threads that are waited for there, carries these ids."""
    token = _ABOUT.set({**_ABOUT.get({}), **ids})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def write(event: str, **values: Any) -> None:
    line = {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"),
        "event": event,
        **_ABOUT.get({}),
        **values,
    }
    sys.stderr.write(json.dumps(line) + "\n")
    sys.stderr.flush()


def error(fault: BaseException) -> None:
    """A fault of ours, with where it came from but not with the values that led to it."""
    frames = traceback.extract_tb(fault.__traceback__)[-DEEPEST_FRAMES:]
    write(
        "error",
        kind=type(fault).__name__,
        where=[f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames],
    )
