"""Signing in by account name and password.

Rows keep an argon2id hash; guessing is slowed down by `Guesses`.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import Invalid, ServiceError

SHORTEST, LONGEST = 10, 200  # characters
_hasher = PasswordHasher()  # argon2id with the parameters that the package recommends
# checked where there is no account, so that both answers take as long
_nobody = _hasher.hash("nobody's")
_at_once = threading.BoundedSemaphore(2)  # each check takes 64 MB for a moment


def change(session: Session, account: Account, old: str, new: str) -> None:
    """Sets the password; one that is set already must be given. Raises Invalid."""
    row = session.get_one(Account, account.id)
    if row.password is not None and not _fits(row.password, old):
        raise Invalid({"old_password": ["is not right"]})
    if not SHORTEST <= len(new) <= LONGEST:
        raise Invalid({"new_password": [f"must have {SHORTEST} to {LONGEST} characters"]})
    row.password = _hasher.hash(new)


def account_of(session: Session, name: str, password: str) -> Account | None:
    """Whose name and password these are, if anybody's."""
    row = session.scalar(
        select(Account)
        .where(Account.name == name, Account.password.is_not(None))
        .order_by(Account.id)
        .limit(1)
    )
    fits = _fits(row.password or _nobody if row else _nobody, password)
    return row if fits else None


def _fits(kept: str, password: str) -> bool:
    with _at_once:
        try:
            return len(password) <= LONGEST and _hasher.verify(kept, password)
        except VerifyMismatchError:
            return False


class Guesses:
    """How many passwords may be tried in five minutes: five for an account from one address, so
    that nobody else's failures keep its owner out; twenty from an address; a hundred for an account
    from anywhere. Safe to share between threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.lock = threading.Lock()
        self.pair, self.address, self.name = (Throttle(most, 300, clock) for most in (5, 20, 100))

    def begin(self, name: str, address: str) -> None:
        """Counts one more, as wrong until `right` is said.

        Raises ServiceError (429) where there were too many.
        """
        keys = self._keys(name, address)
        with self.lock:
            for throttle, key in keys:
                throttle.check(key)
            for throttle, key in keys:
                throttle.failed(key)

    def right(self, name: str, address: str) -> None:
        (pair, both), *others = self._keys(name, address)
        with self.lock:
            pair.forget(both)
            for throttle, key in others:
                throttle.take_back(key)

    def _keys(self, name: str, address: str) -> list[tuple[Throttle, str]]:
        name, network = name[:LONGEST], network_of(address)
        return [(self.pair, f"{network} {name}"), (self.address, network), (self.name, name)]


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the first half, for whoever has one has all that
    begin like it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:  # a name, of a socket file
        return address
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.IPv6Network((ip, 64), strict=False))
    return str(getattr(ip, "ipv4_mapped", None) or ip)


class Throttle:
    """Counts failures by key (an address, a name) in this process, and refuses for a while
    after too many."""

    MOST_KEYS = 10_000

    def __init__(
        self, most: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.most, self.seconds, self.clock = most, seconds, clock
        self.failures: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, key: str) -> None:
        """Raises ServiceError (429) if the key failed too often lately."""
        recent = [then for then in self.failures.get(key, []) if then > self.clock() - self.seconds]
        if len(recent) >= self.most:
            wait = max(1, round(recent[-self.most] + self.seconds - self.clock()))
            raise ServiceError(
                f"Too many attempts: wait {wait} seconds, or use a sign-in link.",
                429,
                {"Retry-After": str(wait)},
            )

    def failed(self, key: str) -> None:
        self.failures.setdefault(key, []).append(self.clock())
        self.failures[key] = self.failures[key][-self.most :]
        self.failures.move_to_end(key)
        while len(self.failures) > self.MOST_KEYS:
            self.failures.popitem(last=False)

    def forget(self, key: str) -> None:
        self.failures.pop(key, None)

    def take_back(self, key: str) -> None:
        """The last one was none."""
        if failures := self.failures.get(key):
            failures.pop()
