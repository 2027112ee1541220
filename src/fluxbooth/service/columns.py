"""What the tables' columns are made of: times with their zone, and ids."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer, TypeDecorator

Id = BigInteger().with_variant(Integer, "sqlite")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Utc(TypeDecorator[datetime.datetime]):
    """Times go in and come out with their zone; SQLite would drop it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Any) -> datetime.datetime | None:
        return value.astimezone(datetime.UTC).replace(tzinfo=None if dialect.name == "sqlite" else datetime.UTC) if value else None

    def process_result_value(self, value: datetime.datetime | None, dialect: Any) -> datetime.datetime | None:
        return value.replace(tzinfo=datetime.UTC) if value else None
