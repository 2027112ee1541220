"""Places for heavy work, which accounts take by turns: however much one asks for, another waits
for no more than what is under way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Hashable

from fluxbooth.service.errors import ServiceError

MOST_WAITING = 64  # of an account
TRY_AGAIN = 10  # seconds


class Turns:
    """`places` at once, `each` of them for one account at most. Of one event loop: it needs no
    lock.

    An account may take more than one second of turns a second only until these are `saved` seconds
    more.
    """

    def __init__(
        self,
        places: int,
        each: int,
        saved: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.places, self.each, self.saved, self.clock = places, each, saved, clock
        # when the seconds that an account took will have passed
        self.made_up: dict[Hashable, float] = {}
        self.held: Counter[Hashable] = Counter()
        self.waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}
        self.numbers = itertools.count(1)
        self.last: Counter[Hashable] = Counter()  # the number of each account's latest turn

    @contextlib.asynccontextmanager
    async def turn(self, account: Hashable) -> AsyncGenerator[None]:
        """Waits for a place.

        Raises ServiceError (429) if too many of the account do already, or it took too long lately.
        """
        self._check(account)
        await self._come(account)
        began = self.clock()
        try:
            yield
        finally:
            self.made_up[account] = (
                max(began, self.made_up.get(account, began)) + self.clock() - began
            )
            self._leave(account)

    def _check(self, account: Hashable) -> None:
        present = self.clock()
        self.made_up = {one: when for one, when in self.made_up.items() if when > present}
        if (over := self.made_up.get(account, present) - present - self.saved) > 0:
            said = f"Your pictures took more than {self.saved:g} seconds to look at: wait a little."
            raise ServiceError(said, 429, {"Retry-After": str(math.ceil(over))})
        if len(self.waiting.get(account, ())) >= MOST_WAITING:
            said = f"{MOST_WAITING} of your requests wait already: wait for their answers."
            raise ServiceError(said, 429, {"Retry-After": str(TRY_AGAIN)})

    async def _come(self, account: Hashable) -> None:
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(account, deque()).append(mine)
        self._call()
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it had been called
                self._leave(account)
            raise

    def _leave(self, account: Hashable) -> None:
        self.held[account] -= 1
        if not self.held[account]:
            del self.held[account]
        self._call()

    def _call(self) -> None:
        """Fills what places are free: who holds the fewest comes first, of those who had a turn
        longest ago."""
        while self.held.total() < self.places:
            self._forget_gone()
            able = [account for account in self.waiting if self.held[account] < self.each]
            if not able:
                return
            account = min(able, key=lambda one: (self.held[one], self.last[one]))
            self.waiting[account].popleft().set_result(None)
            self.held[account] += 1
            self.last[account] = next(self.numbers)

    def _forget_gone(self) -> None:
        for account, queue in list(self.waiting.items()):
            while queue and queue[0].done():
                queue.popleft()
            if not queue:
                del self.waiting[account]
