"""The report of `fluxbooth inspect --html`: every photo with its crop and its faults marked."""

from __future__ import annotations

import html
from collections.abc import Sequence

from PIL import Image, ImageDraw

from fluxbooth.evaluation import contact_sheet
from fluxbooth.photos.inspection import Photo, PhotoReport, Report

CROP, FAULT = "#2f9e44", "#d6336c"
BORDER = 0.012  # of a photo's longer side


def page(photos: Sequence[Photo], report: Report) -> str:
    """One HTML file, pictures inlined, nothing fetched."""
    cells = "".join(_cell(photo, one) for photo, one in zip(photos, report.photos, strict=True))
    advice = "".join(f"<li>{html.escape(line)}</li>" for line in report.advice)
    body = (
        f"<h1>{len(photos)} photos</h1><p><b>{html.escape(report.verdict)}</b></p>"
        f"<ul>{advice}</ul><p>The frame in a photo is what training sees of it; it is red where "
        f"the photo has a fault.</p>{cells}"
    )
    return contact_sheet.document("Photos before training", body)


def _cell(photo: Photo, one: PhotoReport) -> str:
    told = "; ".join(one.advice) or "no fault"
    return (
        f'<figure><img style="width:100%" src="{contact_sheet.inlined(_framed(photo, one))}" '
        f'alt="{html.escape(one.name)}"><figcaption><b>{html.escape(one.name)}</b><br>'
        f"{html.escape(told)}</figcaption></figure>"
    )


def _framed(photo: Photo, one: PhotoReport) -> Image.Image:
    picture = Image.fromarray(photo.pixels[:, :, :3])
    scale = picture.width / photo.width
    left, top, right, bottom = (round(end * scale) for end in one.crop)
    width = max(2, round(BORDER * max(picture.size)))
    ImageDraw.Draw(picture).rectangle(
        (left, top, right - 1, bottom - 1), outline=FAULT if one.faults else CROP, width=width
    )
    return picture
