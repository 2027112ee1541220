"""What the commands that draw write and tell: each picture as soon as it is there, so that whoever
stops the others keeps it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fluxbooth.cli.progress import Display
from fluxbooth.types import Json

if TYPE_CHECKING:
    from fluxbooth.events import DrawingEvent, PictureFile
    from fluxbooth.generation.picture import Picture


class Report:
    """Called with each event of a drawing; pictures are written where `path_of` says."""

    def __init__(self, display: Display, path_of: Callable[[Picture], Path]) -> None:
        self._display, self._path_of = display, path_of
        self._rows: list[PictureFile] = []
        self._advice: list[Json] = []

    def __call__(self, event: DrawingEvent) -> None:
        from fluxbooth import events

        told = events.to_json(event, self._written)
        self._display(told)
        if told["event"] == "picture":
            for row in told["pictures"]:
                self._display.note(row["path"])
        elif told["event"] == "advice":
            self._advice.extend(told["advice"])

    def result(self) -> Json:
        """What the command prints in the end."""
        return {"pictures": self._rows, "advice": self._advice}

    def _written(self, pictures: list[Picture]) -> list[PictureFile]:
        made = [_picture_file(picture, self._path_of(picture)) for picture in pictures]
        self._rows.extend(made)
        return made


def _picture_file(picture: Picture, path: Path) -> PictureFile:
    """Writes a picture, and says what is told of it."""
    from fluxbooth import files

    try:
        picture.save(path)
    except OSError as error:
        raise files.cannot_write(path, error) from error
    return {
        "path": str(path),
        "seed": picture.seed,
        "width": picture.width,
        "height": picture.height,
        "text": picture.text,
    }
