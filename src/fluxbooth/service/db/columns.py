"""Types of the tables' columns: times with their zone, ids, and the folder of a row that has
files."""

from __future__ import annotations

import datetime
import secrets
from typing import Any

from sqlalchemy import BigInteger, DateTime, Integer, String, TypeDecorator
from sqlalchemy.orm import Mapped, mapped_column

Id = BigInteger().with_variant(Integer, "sqlite")


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class Utc(TypeDecorator[datetime.datetime]):
    """Times go in and come out with their zone; SQLite would drop it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: Any
    ) -> datetime.datetime | None:
        return (
            value.astimezone(datetime.UTC).replace(
                tzinfo=None if dialect.name == "sqlite" else datetime.UTC
            )
            if value
            else None
        )

    def process_result_value(
        self, value: datetime.datetime | None, dialect: Any
    ) -> datetime.datetime | None:
        return value.replace(tzinfo=datetime.UTC) if value else None


def folder_name(number: int, nonce: str) -> str:
    """Of a row's folder. Rows of version 0.1.0 have no nonce: theirs is the number alone."""
    return f"{number}-{nonce}" if nonce else str(number)


class Filed:
    """A row that has files, in a folder which no other row ever had: an id that was rolled back
    is given again, a nonce is not."""

    __tablename__: str
    id: Mapped[int]
    nonce: Mapped[str] = mapped_column(
        String(32), default=lambda: secrets.token_hex(16), server_default=""
    )

    @property
    def folder(self) -> str:
        """Its key in the store; known once the row has its id."""
        return f"{self.__tablename__}/{folder_name(self.id, self.nonce)}"
