"""Who gets the places for heavy work, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from fluxbooth.service.errors import ServiceError
from fluxbooth.web.turns import MOST_WAITING, Turns


class Crowd:
    """Requests of accounts, each of which holds its place until it is told to leave."""

    def __init__(self, turns: Turns) -> None:
        self.turns, self.inside = turns, []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.leaving: dict[str, asyncio.Event] = {}

    async def come(self, *names: str) -> None:
        """`a2` is the second request of account `a`."""
        for name in names:
            self.leaving[name] = asyncio.Event()
            self.tasks[name] = asyncio.create_task(self._work(name))
            await settled()

    async def leave(self, name: str) -> None:
        self.leaving[name].set()
        await self.tasks[name]
        await settled()

    async def _work(self, name: str) -> None:
        async with self.turns.turn(name[0]):
            self.inside.append(name)
            try:
                await self.leaving[name].wait()
            finally:
                self.inside.remove(name)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(turns: Turns, story: Callable[[Crowd], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        crowd = Crowd(turns)
        await story(crowd)
        for task in crowd.tasks.values():
            task.cancel()
        await asyncio.gather(*crowd.tasks.values(), return_exceptions=True)

    asyncio.run(all_of_it())


def test_one_account_never_takes_every_place() -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.come("a1", "a2", "a3", "a4")
        assert crowd.inside == ["a1", "a2"]
        await crowd.come("b1")
        assert crowd.inside == ["a1", "a2", "b1"]

    run(Turns(places=3, each=2), story)


def test_a_free_place_goes_to_who_holds_the_fewest_not_to_who_asked_first() -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.come("a1", "b1", "a2", "a3", "c1")
        assert crowd.inside == ["a1", "b1"]
        await crowd.leave("b1")
        assert crowd.inside == ["a1", "c1"]

    run(Turns(places=2, each=2), story)


def test_accounts_alternate() -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.come("a1", "a2", "a3", "b1", "b2")
        for name, following in (("a1", "b1"), ("b1", "a2"), ("a2", "b2"), ("b2", "a3")):
            await crowd.leave(name)
            assert crowd.inside == [following]

    run(Turns(places=1, each=1), story)


def test_who_gave_up_waiting_or_working_leaves_no_place_taken() -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.come("a1", "a2", "b1")
        crowd.tasks["a2"].cancel()
        crowd.tasks["a1"].cancel()
        await settled()
        assert crowd.inside == ["b1"]
        await crowd.leave("b1")
        assert not crowd.turns.held and not crowd.turns.waiting

    run(Turns(places=1, each=1), story)


def test_too_many_waiting_requests_of_an_account_are_refused_and_no_others() -> None:
    async def story(crowd: Crowd) -> None:
        await crowd.come(*(f"a{i}" for i in range(MOST_WAITING + 2)))
        with pytest.raises(ServiceError, match="wait already") as refused:
            await crowd.tasks[f"a{MOST_WAITING + 1}"]
        assert refused.value.status == 429
        await crowd.come("b1")
        await crowd.leave("a0")
        assert crowd.inside == ["b1"]

    run(Turns(places=1, each=1), story)


def test_an_account_that_took_more_than_a_second_a_second_for_long_must_wait() -> None:
    times = [0.0]

    async def story(crowd: Crowd) -> None:
        await crowd.come("a1", "a2")
        times[0] = 11.0
        await crowd.leave("a1")
        await crowd.leave("a2")  # 22 seconds of work within 11
        await crowd.come("b1", "a3")
        with pytest.raises(ServiceError, match="more than 10 seconds") as refused:
            await crowd.tasks["a3"]
        assert refused.value.status == 429 and crowd.inside == ["b1"]
        times[0] = 13.0
        await crowd.come("a4")
        assert crowd.inside == ["b1", "a4"]

    run(Turns(places=3, each=2, saved=10.0, clock=lambda: times[0]), story)
