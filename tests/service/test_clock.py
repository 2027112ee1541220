"""Expiry believes the clock as far as time was lived."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from fluxbooth.service import clock
from fluxbooth.service.db.tables import Tune, now
from tests.support.installation import Installation

DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)


@dataclass
class Wall:
    """A clock that can be set, and a count of seconds that cannot."""

    installation: Installation
    at: datetime.datetime
    counted: float = 1000.0

    def lived(self, time: datetime.timedelta) -> None:
        self.at += time
        self.counted += time.total_seconds()

    def swept(self) -> datetime.datetime:
        moment = clock.believed(self.installation.results.db, lambda: self.at, lambda: self.counted)
        self.installation.sweep(moment)
        return moment


@pytest.fixture
def wall(installation: Installation) -> Iterator[Wall]:
    with installation.results.db.write() as session:
        session.query(clock.Clock).delete()
    yield Wall(installation, now())


def trained(installation: Installation) -> int:
    tune = installation.tune(installation.account(), "a tune")
    installation.trained(tune)
    return tune


def is_there(installation: Installation, tune: int) -> bool:
    return installation.row(Tune, tune).deleted_at is None and bool(
        installation.files(f"tunes/{tune}")
    )


def test_a_clock_that_jumps_forty_days_ahead_and_comes_back_deletes_nothing(
    installation: Installation, wall: Wall
) -> None:
    tune = trained(installation)
    assert wall.swept() == wall.at
    for _ in range(3):
        wall.lived(HOUR)
        wall.at += 40 * DAY
        wall.swept()
        wall.at -= 40 * DAY
        assert is_there(installation, tune)
        wall.lived(HOUR)
        assert wall.swept() == wall.at


def test_the_first_look_of_a_new_version_believes_no_jump_either(
    installation: Installation, wall: Wall
) -> None:
    tune = trained(installation)
    wall.at += 40 * DAY
    wall.swept()
    assert is_there(installation, tune)


def test_a_machine_that_was_off_catches_up_and_deletes_what_is_due(
    installation: Installation, wall: Wall
) -> None:
    tune = trained(installation)
    wall.swept()
    wall.at += 31 * DAY
    wall.counted = 60.0  # it was switched on again
    for _ in range(7):
        wall.lived(DAY)
        wall.swept()
    assert is_there(installation, tune)
    for _ in range(4):
        wall.lived(DAY)
        wall.swept()
    assert not is_there(installation, tune) and wall.swept() == wall.at


def test_a_clock_that_is_set_back_deletes_later_and_goes_on(
    installation: Installation, wall: Wall
) -> None:
    tune = trained(installation)
    wall.swept()
    wall.at -= 400 * DAY
    assert wall.swept() == wall.at
    wall.at += 400 * DAY
    wall.lived(HOUR)
    assert wall.swept() < wall.at - 300 * DAY
    assert is_there(installation, tune)
