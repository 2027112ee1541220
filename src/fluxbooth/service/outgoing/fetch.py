"""Pictures from addresses that users give."""

from __future__ import annotations

import contextlib
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import httpcore2

from fluxbooth.service.outgoing.outbound import (
    FetchError,
    FetchRules,
    Place,
    Trip,
    is_forbidden,
    parse,
)
from fluxbooth.service.settings import Settings

__all__ = ["FetchError", "FetchRules", "Fetched", "check", "fetch", "rules_for"]

# which the public name system does not hold
PRIVATE_ENDS = (".localhost", ".local", ".internal", ".home.arpa", ".lan")
REDIRECTS = {301, 302, 303, 307, 308}


def rules_for(settings: Settings) -> FetchRules:
    """On one's own network, services listen anywhere; the open one is asked at its usual ports
    only."""
    return (
        FetchRules(allow_private=True, ports=frozenset(range(1, 2**16)))
        if settings.private_network
        else FetchRules()
    )


def check(url: str, rules: FetchRules) -> None:
    """Raises FetchError for an address that can be refused without asking anybody: no name is
    looked up, nothing is connected to."""
    trip = Trip(url, rules)
    name = trip.start.host.rstrip(".")
    if not rules.allow_private and (name.endswith(PRIVATE_ENDS) or name == "localhost"):
        raise trip.unreachable(f"{name} is a name of a private network")
    with contextlib.suppress(OSError):  # a name and not a number: `fetch` looks it up
        for entry in socket.getaddrinfo(
            trip.start.host, trip.start.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        ):
            if is_forbidden(str(entry[4][0]), rules.allow_private):
                raise trip.unreachable(f"{entry[4][0]} is not a public address")


@dataclass(frozen=True)
class Fetched:
    path: Path
    size: int
    url: str
    """Where it came from in the end, after redirects."""


def fetch(url: str, target: Path, rules: FetchRules = FetchRules()) -> Fetched:
    """Downloads a picture to `target`, whole or not at all. What it holds is not looked at.

    Raises FetchError, one sentence, if the address may not be asked or does not give a body within
    the rules; OSError if `target` cannot be written.
    """
    trip = Trip(url, rules)
    place = trip.start
    for _ in range(rules.redirects + 1):
        with trip.exchange("GET", place, [("Accept", "image/*, */*;q=0.5")]) as response:
            if response.status not in REDIRECTS:
                return Fetched(target, _save(trip, response, target), place.url)
            place = _redirected(trip, place, response)
    raise trip.failed(
        f"redirects more than {rules.redirects} times.", f"the last time to {place.url}"
    )


def _header(response: httpcore2.Response, name: bytes) -> str | None:
    return next(
        (
            value.decode("utf-8", "replace")
            for key, value in response.headers
            if key.lower() == name
        ),
        None,
    )


def _redirected(trip: Trip, place: Place, response: httpcore2.Response) -> Place:
    location = _header(response, b"location")
    if not location:
        raise trip.failed("redirects to nowhere.", "no Location header")
    try:
        return parse(urljoin(place.url, location), trip.rules.ports)
    except ValueError as error:
        raise trip.unreachable(f"redirected to {location[:200]!r}, which {error}") from error


def _save(trip: Trip, response: httpcore2.Response, target: Path) -> int:
    """Streams the body to a temporary name beside the target, and renames it when it is complete.

    Its size in bytes.
    """
    if response.status != 200:
        raise trip.failed(
            f"answered with status {response.status} instead of a picture.",
            f"status {response.status}",
        )
    if (coding := _header(response, b"content-encoding") or "identity") != "identity":
        raise trip.failed(
            "sent a compressed body although none was asked for.",
            f"Content-Encoding {coding[:50]!r}",
        )
    largest = trip.rules.largest
    too_large = trip.failed(f"is larger than {largest / 2**20:g} MB.", "too large")
    declared = _header(response, b"content-length") or "0"
    if int(declared) > largest:
        raise too_large
    temporary, size = target.with_name(f".{secrets.token_hex(8)}.part"), 0
    try:
        with temporary.open("xb") as file:
            for chunk in response.iter_stream():
                size += len(chunk)
                if size > largest:
                    raise too_large
                file.write(chunk)
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
    return size
