"""The rows of what a training was on its way: a checkpoint has samples, which are pictures of
always the same texts."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from fluxbooth.service.db.columns import Id
from fluxbooth.service.db.tables import Row


class Checkpoint(Row):
    """A training after some steps; at step 0, before it."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("tune_id", "step"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tune_id: Mapped[int] = mapped_column(ForeignKey("tunes.id"))
    step: Mapped[int]
    lora: Mapped[str | None] = mapped_column(Text)  # key of the file, once the training is done
    bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    samples: Mapped[list[Sample]] = relationship(order_by="Sample.number")

    @property
    def likeness(self) -> float | None:
        """Mean of its samples', 0 to 1; None where it could not be measured."""
        found = [sample.likeness for sample in self.samples if sample.likeness is not None]
        return sum(found) / len(found) if found else None


class Sample(Row):
    """A picture that a training drew on its way, always of the same texts and seeds."""

    __tablename__ = "samples"
    __table_args__ = (UniqueConstraint("checkpoint_id", "number"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    checkpoint_id: Mapped[int] = mapped_column(ForeignKey("checkpoints.id"))
    number: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    key: Mapped[str] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    likeness: Mapped[float | None]  # to the photos, 0 to 1
