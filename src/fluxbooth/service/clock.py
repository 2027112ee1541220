"""The time that expiry goes by. A clock may be set wrong, and be set right again; what was deleted
meanwhile would not come back.

So a deletion believes the clock only as far as time was lived: the time it goes by follows the
clock at no more than four times the pace of the seconds that the machine counts itself. What a
machine slept through while it was off is made up for in a third of that time.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable

from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, mapped_column

from fluxbooth import log
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Row, Tune, now

PACE = 4.0
WORTH_A_WORD = datetime.timedelta(hours=1)


class Clock(Row):
    """One row: the time that was believed last, and what the machine's own count of seconds was
    then."""

    __tablename__ = "clock"
    id: Mapped[int] = mapped_column(primary_key=True)
    believed_at: Mapped[datetime.datetime]
    ticks: Mapped[float]


def ticks() -> float:
    """Seconds since the machine was switched on, sleep included where the system counts it."""
    return (
        time.clock_gettime(time.CLOCK_BOOTTIME)
        if hasattr(time, "CLOCK_BOOTTIME")
        else time.monotonic()
    )


def believed(
    db: Database, clock: Callable[[], datetime.datetime] = now, count: Callable[[], float] = ticks
) -> datetime.datetime:
    """What the clock says, or less if it ran ahead of what was lived since this was asked last."""
    says, counted = clock(), count()
    with db.write() as session:
        row = session.get(Clock, 1)
        # of an older version: then it was at least as late as the newest of its rows
        if row is None:
            newest = session.scalar(select(func.max(Tune.updated_at)))
            row = Clock(id=1, believed_at=newest or says, ticks=counted)
            session.add(row)
        # the machine was switched on again
        lived = counted - row.ticks if counted >= row.ticks else counted
        row.believed_at = min(says, row.believed_at + datetime.timedelta(seconds=PACE * lived))
        row.ticks = counted
        if says - row.believed_at > WORTH_A_WORD:
            log.write("clock doubted", clock=says.isoformat(), believed=row.believed_at.isoformat())
        return row.believed_at
