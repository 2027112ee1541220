"""`fluxbooth inspect`: photos before training."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fluxbooth.cli import output
from fluxbooth.files import cannot_write, write_whole
from fluxbooth.types import Json

if TYPE_CHECKING:
    from fluxbooth.photos.inspection import Report


def inspect(options: argparse.Namespace) -> Json:
    from fluxbooth import base_selection
    from fluxbooth.evaluation import photo_page
    from fluxbooth.models import registry
    from fluxbooth.photos import faces, inspection
    from fluxbooth.photos import folders as photo_folders
    from fluxbooth.specs import TrainSpec
    from fluxbooth.training import captions

    # a folder that is missing is told before torch is asked for a GPU
    inspection.find(options.photos)
    row = registry.find(options.base) if options.base else base_selection.suited()
    side = max(row.resolutions)
    photos = inspection.read(options.photos)
    report = inspection.inspect(
        photos, side**2, find_faces=faces.find if faces.available() else None
    )
    report.advice.extend(photo_folders.left_out(options.photos))
    report.advice.extend([] if faces.available() else [inspection.NO_FACES])
    as_trained = registry.resolve(TrainSpec(class_name=options.name, base=row.name), len(photos))
    written = [photo.caption for photo in captions.written(photos, as_trained)]
    seen = captions.seen(photos, row)
    heading = f"For {row.name}, at the area of {side} x {side}:"
    output.show(options, [heading, *_lines(report, written)])
    if options.html:
        _write(Path(options.html), photo_page.page(photos, report))
    return {"base": row.name, "captions": written, "seen": seen, **report.to_json()}


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise cannot_write(path, error, "--html") from error


def _lines(report: Report, captions: Sequence[str | None]) -> Iterator[str]:
    for photo, caption in zip(report.photos, captions, strict=True):
        left, top, right, bottom = photo.crop
        crop = (
            f"crop {right - left} x {bottom - top}, trained at {photo.bucket[0]} x "
            f"{photo.bucket[1]}"
        )
        facts = f"{photo.width} x {photo.height}, sharpness {photo.sharpness:.2f}, {crop}"
        yield f"{photo.name}: {facts}"
        if caption:
            yield f"    {'its caption' if photo.has_caption else 'will be captioned'}: {caption}"
        yield from (f"    {advice}" for advice in photo.advice)
    yield from report.advice
    yield report.verdict
