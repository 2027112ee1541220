"""Callbacks: how one is signed (https://www.standardwebhooks.com), when it is tried again, and
one delivery."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import datetime
import hmac
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpcore2

from fluxbooth import retry_after
from fluxbooth.errors import InputError
from fluxbooth.service.outgoing.outbound import FetchError, FetchRules, Trip

ATTEMPTS = 10
SECONDS = 15.0
LARGEST_ANSWER = 4096  # bytes of a receiver's answer that are kept, for the log
PREFIX = "whsec_"
_MINUTE, _HOUR = 60, 3600
_WAITS = (
    0,
    5,
    5 * _MINUTE,
    30 * _MINUTE,
    2 * _HOUR,
    5 * _HOUR,
    10 * _HOUR,
    14 * _HOUR,
    20 * _HOUR,
    24 * _HOUR,
)
_JITTER = 0.1


@dataclass(frozen=True)
class Delivery:
    """What came of one attempt.

    Without a status, `error` says in one sentence why there was no answer.
    """

    status: int | None
    error: str | None = None
    answer: str = ""
    """The beginning of the receiver's answer."""
    retry_after: float | None = None
    """Seconds that the receiver asks to be left alone for."""
    reason: str = ""
    """For the operator's log: what the error does not say."""
    in_doubt: bool = False
    """Whether it may have arrived, though no answer came."""

    @property
    def delivered(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def signed_headers(
    keys: Sequence[str], message_id: str, timestamp: int, body: bytes
) -> dict[str, str]:
    """The three headers of Standard Webhooks, with a signature by each secret. The id stays the
    same over all attempts, the timestamp (Unix seconds) does not.

    Raises InputError for a secret that is not `whsec_` and base64.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(key, signed) for key in keys),
    }


def _signature(secret: str, signed: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(
            "The callback secret is not whsec_ followed by base64: make a new one."
        ) from error
    if not key or not secret.startswith(PREFIX):
        raise InputError("The callback secret is not whsec_ followed by base64: make a new one.")
    return f"v1,{base64.b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


def delay(attempt: int, rng: random.Random) -> float:
    """Seconds to wait before an attempt, counted from the end of the one before. Each is up to a
    tenth shorter or longer.

    | attempt | 1 | 2   | 3     | 4      | 5   | 6   | 7    | 8    | 9    | 10   |
    |---------|---|-----|-------|--------|-----|-----|------|------|------|------|
    | wait    | 0 | 5 s | 5 min | 30 min | 2 h | 5 h | 10 h | 14 h | 20 h | 24 h |
    | in all  | 0 | 5 s | 5 min | 35 min | 3 h | 8 h | 18 h | 32 h | 52 h | 76 h |

    Raises ValueError for an eleventh.
    """
    if not 1 <= attempt <= ATTEMPTS:
        raise ValueError(f"there is no attempt {attempt}")
    return _WAITS[attempt - 1] * rng.uniform(1 - _JITTER, 1 + _JITTER)


def deliver(
    url: str, body: bytes, headers: Mapping[str, str], rules: FetchRules = FetchRules()
) -> Delivery:
    """Posts JSON once, within 15 seconds and without following redirects.

    Raises nothing for what the network or the receiver does.
    """
    try:
        trip = Trip(url, dataclasses.replace(rules, seconds=min(rules.seconds, SECONDS)))
        sent = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            *headers.items(),
        ]
        with trip.exchange("POST", trip.start, sent, body) as response:
            return _read(response)
    except FetchError as error:
        return Delivery(None, str(error), reason=error.reason, in_doubt=error.in_doubt)


def _read(response: httpcore2.Response) -> Delivery:
    """A receiver that has answered with a status has decided, even if the rest of its answer
    never comes."""
    answer = b""
    try:
        for chunk in response.iter_stream():
            answer += chunk
            if len(answer) >= LARGEST_ANSWER:
                break
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
        pass
    error = (
        None
        if 200 <= response.status < 300
        else f"The receiver answered with status {response.status}."
    )
    if 300 <= response.status < 400:
        error = f"The receiver redirects (status {response.status}), which callbacks do not follow."
    return Delivery(
        response.status,
        error,
        answer[:LARGEST_ANSWER].decode("utf-8", "replace"),
        _retry_after(response),
    )


def _retry_after(response: httpcore2.Response) -> float | None:
    value = next((value for name, value in response.headers if name.lower() == b"retry-after"), b"")
    return retry_after.seconds(value.decode("latin-1"), datetime.datetime.now(datetime.UTC))
