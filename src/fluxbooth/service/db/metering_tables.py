"""The rows of what a licence wants counted: pictures that were published, and the reports that they
went into."""

from __future__ import annotations

import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from fluxbooth.service.db.columns import Id
from fluxbooth.service.db.tables import Row, now


class Report(Row):
    """So many pictures of a model, told to its licensor once an answer says that it took them.

    Without `delivered_at` it is still to be told. `begun_at` stands while an attempt is under way,
    and so after a kill, too: then nobody knows whether the pictures were counted.
    """

    __tablename__ = "usage_reports"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    model: Mapped[str] = mapped_column(String(40))  # as the licensor calls it
    pictures: Mapped[int]
    attempts: Mapped[int] = mapped_column(default=0)
    # attempts that may have arrived, and of which no answer came: each may count all pictures again
    unanswered: Mapped[int] = mapped_column(default=0)
    begun_at: Mapped[datetime.datetime | None]
    delivered_at: Mapped[datetime.datetime | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)


class Metered(Row):
    """Pictures that were published; written in the transaction that publishes them, once each."""

    __tablename__ = "metered"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    job: Mapped[str] = mapped_column(String(100), unique=True)  # prompt-9-0, tune-7-000100-0
    model: Mapped[str] = mapped_column(String(40))
    pictures: Mapped[int]
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)
    # none yet: it waits for the next report
    report_id: Mapped[int | None] = mapped_column(ForeignKey("usage_reports.id"), index=True)
