"""Pictures that a licence wants counted: each is counted in the transaction that publishes it, and
told to the licensor by reports of many.

The licensor's address takes a number and knows no way to say it twice and be counted once. So the
beginning of each attempt is committed before it is sent, and its end after the answer came. Where
no answer came, or the process died between the two, nobody knows whether the pictures were counted:
the report is told again, for a picture that is not counted breaks the licence, and one that is
counted twice costs its price. How many may have been is kept, and shown to the operator. Reports
are small, so that a kill leaves few in doubt.
"""

from __future__ import annotations

import functools
import json
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import case, func, select, update
from sqlalchemy.orm import Session

from fluxbooth import log
from fluxbooth.models import licences, registry
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.metering_tables import Metered, Report
from fluxbooth.service.db.tables import now
from fluxbooth.service.outgoing import webhooks
from fluxbooth.service.outgoing.outbound import FetchRules
from fluxbooth.service.settings import Settings

MOST = 1000  # pictures in a report, and so what one kill may count twice
EVERY, LONGEST_WAIT = 5.0, 3600.0  # seconds between reports, and between attempts that fail
ATTEMPT = webhooks.SECONDS  # the longest one
PASSED_ON = (502, 504)  # of a server in between, which had no answer itself
OWN = FetchRules(allow_private=True, ports=frozenset(range(1, 2**16)))  # the operator's own word


@dataclass(frozen=True)
class Usage:
    """Of one model, in pictures."""

    model: str
    reported: int
    waiting: int
    doubtful: int
    """Of those that were reported or still wait, how many may have been counted once too often."""
    error: str | None
    """What the last attempt came to, where it failed."""


def count(session: Session, settings: Settings, base: str, job: str, pictures: int) -> None:
    """Counts pictures that this transaction publishes, by a name: said twice, they count once."""
    model = _model(base) if settings.flux_dev_license == "commercial" and pictures else None
    if model is None or session.scalar(select(Metered.id).where(Metered.job == job)):
        return
    session.add(Metered(job=job, model=model, pictures=pictures))
    session.flush()


@functools.cache
def _model(base: str) -> str | None:
    """What the licensor calls a base, if it wants its pictures counted."""
    return licences.metered_as(registry.find(base))


def usage(session: Session) -> list[Usage]:
    """What was counted, by model."""
    waits = Metered.report_id.is_(None) | Report.delivered_at.is_(None)
    found = session.execute(
        select(Metered.model, waits, func.sum(Metered.pictures))
        .outerjoin(Report, Report.id == Metered.report_id)
        .group_by(Metered.model, waits)
    ).all()
    counted = {(model, bool(waiting)): pictures for model, waiting, pictures in found}
    doubts = Report.unanswered + case((Report.begun_at.is_(None), 0), else_=1)
    in_doubt = select(Report.model, func.sum(Report.pictures * doubts)).group_by(Report.model)
    doubtful = {model: int(pictures) for model, pictures in session.execute(in_doubt)}
    return [
        Usage(
            model,
            counted.get((model, False), 0),
            counted.get((model, True), 0),
            doubtful.get(model, 0),
            session.scalar(
                select(Report.last_error).where(
                    Report.model == model, Report.delivered_at.is_(None)
                )
            ),
        )
        for model in sorted({model for model, _ in counted})
    ]


def report(db: Database, settings: Settings) -> bool:
    """Tells the licensor what it was not told yet; whether all of it was taken.

    One process at a time does this: the engine of the data folder.
    """
    with db.read() as session:
        models = _due(session)
    taken = [_report(db, settings, model) for model in models]  # one may have better luck
    return all(taken)


def _report(db: Database, settings: Settings, model: str) -> bool:
    """The same for one model."""
    while (number := _next(db, model)) is not None:
        if not _told(db, settings, number):
            return False
    return True


class Reporter(threading.Thread):
    """Reports as long as its process lives, whatever goes wrong: a licence wants every picture
    told. Each model waits longer after each attempt of its own that failed."""

    def __init__(self, db: Database, settings: Settings, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.db, self.settings, self.stop = db, settings, stop
        self._waits: dict[str, tuple[float, float]] = {}  # seconds, and when they are over

    def run(self) -> None:
        while not self.stop.wait(EVERY * random.uniform(0.9, 1.1)):
            try:
                with self.db.read() as session:
                    models = _due(session)
            except Exception as fault:  # the disk is full, or the database taken
                log.error(fault)
                continue
            for model in models:
                self.attempt(model, time.monotonic())

    def attempt(self, model: str, at: float) -> None:
        """Reports of a model, unless at that second it still waits."""
        wait, until = self._waits.get(model, (EVERY, at))
        if at < until:
            return
        try:
            taken = _report(self.db, self.settings, model)
        except Exception as fault:  # also what nobody thought of
            log.error(fault)
            taken = False
            self._keep(model, fault)
        wait = EVERY if taken else min(2 * wait, LONGEST_WAIT)
        self._waits[model] = (wait, at if taken else at + wait * random.uniform(0.9, 1.1))

    def _keep(self, model: str, fault: Exception) -> None:
        """For the operator, beside the report that is still to be told."""
        still = Report.model == model, Report.delivered_at.is_(None)
        try:
            with self.db.write() as session:
                session.execute(
                    update(Report).where(*still).values(last_error=type(fault).__name__)
                )
        except Exception as again:
            log.error(again)


def _due(session: Session) -> Sequence[str]:
    """Models of which anything is still to be told."""
    counted = select(Metered.model).where(Metered.report_id.is_(None))
    begun = select(Report.model).where(Report.delivered_at.is_(None))
    return session.scalars(counted.union(begun)).all()


def _next(db: Database, model: str) -> int | None:
    """The report to tell next: one that is still to be told, else a new one of what was counted
    since."""
    with db.write() as session:
        if number := session.scalar(
            select(Report.id).where(Report.model == model, Report.delivered_at.is_(None))
        ):
            return number
        mine, pictures = list[int](), 0
        waiting = select(Metered).where(Metered.model == model, Metered.report_id.is_(None))
        for row in session.scalars(waiting.order_by(Metered.id).limit(MOST)):
            if mine and pictures + row.pictures > MOST:
                break
            mine.append(row.id)
            pictures += row.pictures
        if not mine:
            return None
        made = Report(model=model, pictures=pictures)
        session.add(made)
        session.flush()
        session.execute(update(Metered).where(Metered.id.in_(mine)).values(report_id=made.id))
        return made.id


def _told(db: Database, settings: Settings, number: int) -> bool:
    """One attempt; whether the licensor took it."""
    with db.write() as session:
        row = session.get_one(Report, number)
        row.attempts += 1
        if row.begun_at:  # the process died on the attempt before
            row.unanswered += 1
        row.begun_at = now()
        model, body = row.model, json.dumps({"number_of_generations": row.pictures}).encode()
    url = f"{settings.bfl_url.rstrip('/')}/v1/licenses/models/{model}/usage"
    answer = webhooks.deliver(url, body, {"x-key": settings.bfl_key or ""}, OWN)
    with db.write() as session:
        row = session.get_one(Report, number)
        row.begun_at, row.last_error = None, answer.error
        row.unanswered += answer.in_doubt or answer.status in PASSED_ON
        if answer.delivered:
            row.delivered_at = now()
        log.write(
            "usage report",
            model=model,
            pictures=row.pictures,
            attempt=row.attempts,
            status=answer.status,
            reason=answer.reason or None,
        )
    return answer.delivered
