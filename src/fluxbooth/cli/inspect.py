"""`fluxbooth inspect`: photos before training."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fluxbooth.cli import output
from fluxbooth.types import Json

if TYPE_CHECKING:
    from fluxbooth.photos.inspection import Report


def inspect(options: argparse.Namespace) -> Json:
    from fluxbooth import base_selection
    from fluxbooth.models import registry
    from fluxbooth.photos import folders as photo_folders
    from fluxbooth.photos import inspection
    from fluxbooth.specs import TrainSpec
    from fluxbooth.training import captions

    # a folder that is missing is told before torch is asked for a GPU
    inspection.find(options.photos)
    row = registry.find(options.base) if options.base else base_selection.suited()
    side = max(row.resolutions)
    photos = inspection.read(options.photos)
    report = inspection.inspect(photos, side**2)
    report.advice.extend(photo_folders.left_out(options.photos))
    as_trained = registry.resolve(TrainSpec(class_name=options.name, base=row.name), len(photos))
    written = [photo.caption for photo in captions.written(photos, as_trained)]
    heading = f"For {row.name}, at the area of {side} x {side}:"
    output.show(options, [heading, *_lines(report, written)])
    return {"base": row.name, "captions": written, **report.to_json()}


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
