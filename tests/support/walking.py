"""Rows against files, both ways, of an installation at rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.service.db.checkpoint_tables import Checkpoint
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Image, Photo, Prompt, Tune

BESIDE = (".txt", ".thumb.webp")  # a photo's caption, a picture's small copy


@dataclass(frozen=True)
class Walk:
    """Paths below the data folder."""

    named: set[str]  # by rows
    there: set[str]

    @property
    def unmatched(self) -> tuple[list[str], list[str]]:
        """(files that no row names, files that rows name and that are not there)"""
        stems = {key.rpartition(".")[0] for key in self.named}
        beside = {
            path
            for path in self.there - self.named
            for ending in BESIDE
            if path.endswith(ending) and path.removesuffix(ending) in stems
        }
        return sorted(self.there - self.named - beside), sorted(self.named - self.there)


def walk(database: Database, data: Path) -> Walk:
    """Every file that a row names, and every file that is there.

    Work that is open has files of which no row knows yet: all of it must be over.
    """
    with database.read() as session:
        named = {f"files/{key}" for key in _named(session)}
    there = {
        str(path.relative_to(data))
        for place in ("files", "incoming")
        for path in (data / place).rglob("*")
        if path.is_file()
    }
    return Walk(named, there)


def unmatched(database: Database, data: Path) -> tuple[list[str], list[str]]:
    return walk(database, data).unmatched


def _named(session: Session) -> set[str]:
    tunes = session.scalars(select(Tune).where(Tune.deleted_at.is_(None))).all()
    prompts = session.scalars(select(Prompt).where(Prompt.deleted_at.is_(None))).all()
    found = {tune.lora for tune in tunes} | {
        key for prompt in prompts for key in prompt.fields.get("inputs", {}).values()
    }
    found |= {f"{tune.folder}/report.html" for tune in tunes if tune.progress.get("report")}
    for kind, mine in ((Photo, Photo.tune_id), (Checkpoint, Checkpoint.tune_id)):
        rows = session.scalars(select(kind).where(mine.in_([tune.id for tune in tunes]))).all()
        found |= {row.key if isinstance(row, Photo) else row.lora for row in rows}
        found |= {
            sample.key for row in rows if isinstance(row, Checkpoint) for sample in row.samples
        }
    found |= set(
        session.scalars(
            select(Image.key).where(Image.prompt_id.in_([prompt.id for prompt in prompts]))
        )
    )
    return {key for key in found if key}
