"""Photos before training: decode them in a separate process with limits, judge them, choose their
buckets.

Pictures come from strangers, so no byte of them is decoded in the caller's process. Nothing here
knows torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fluxbooth.errors import InputError
from fluxbooth.photos import faults, variety
from fluxbooth.photos.buckets import bucket, crop_box
from fluxbooth.photos.decoder import decode_apart, decode_some
from fluxbooth.photos.face import Face
from fluxbooth.photos.folders import find, left_out, shown, some
from fluxbooth.prompts.language import with_trigger

LIKE_HASH = 14  # of 128 bits
LIKE_COLOUR = 10.0  # of 255, mean absolute difference
SMALL = 256 * 256  # pixels of a picture that is only looked at
FEW, MANY = 4, 20  # pictures of one subject
NOTABLE_CROP = 0.1  # a loss of less than a tenth is not worth a sentence
# says of uint8 H x W x 3 pixels why a picture is not taken, or None
Judge = Callable[[np.ndarray], str | None]
# the faces on uint8 H x W x 3 pixels, largest first
FindFaces = Callable[[np.ndarray], "list[Face]"]
NO_FACES = "faces were not looked for: pip install 'fluxbooth[faces]'"
OTHER = 0.5  # of the largest face's height: a smaller one behind does not count


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded picture: `pixels` are uint8 H x W x 3 sRGB, or x 4 with its transparency where that
    was asked for and there is some; `width`, `height` are the upright original's, in pixels."""

    path: Path
    pixels: np.ndarray
    width: int
    height: int
    caption: str | None


@dataclass(frozen=True)
class PhotoReport:
    """One picture: `crop` is (left, top, right, bottom) in the original's pixels, `bucket`
    (width, height); `faults` are the codes of what `advice` says."""

    name: str
    width: int
    height: int
    sharpness: float
    duplicates_of: list[str]
    crop: tuple[int, int, int, int]
    bucket: tuple[int, int]
    has_caption: bool
    faults: list[str]
    advice: list[str]


@dataclass(frozen=True)
class Report:
    """What was seen: one entry a picture, in the order given, advice on the set as a whole, and a
    sentence that sums it up."""

    photos: list[PhotoReport]
    advice: list[str]
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """The same as JSON's own types (tuples become lists)."""
        return json.loads(json.dumps(asdict(self)))


def read(
    photos: str | Path | Sequence[str | Path],
    max_pixels: int = 4_194_304,
    *,
    alpha: bool = False,
) -> list[Photo]:
    """Find and decode: upright sRGB on white, or with its `alpha`, scaled down to at most
    `max_pixels` pixels, with the caption beside it.

    InputError: as `find`; a caption that is not UTF-8; one for all pictures that cannot be read,
    each with its reason. FluxboothError: the decoding process cannot be started.
    """
    paths = find(photos)
    captions = [_caption(path) for path in paths]
    answers = decode_apart(paths, max_pixels, alpha=alpha)
    if bad := [
        (path.name, answer)
        for path, answer in zip(paths, answers, strict=True)
        if isinstance(answer, str)
    ]:
        raise InputError(unreadable(bad))
    triples = zip(paths, answers, captions, strict=True)
    return [
        Photo(path, *answer, caption)
        for path, answer, caption in triples
        if not isinstance(answer, str)
    ]


def look(
    paths: Sequence[Path], seconds: float, judge: Judge = lambda pixels: None
) -> tuple[list[str | None], float]:
    """Decodes the first of some pictures, for so many seconds of processor time; None, or why not,
    for each of these, and the time. `judge` is asked about those that can be read.

    FluxboothError: the decoding process cannot be started.
    """
    answers, spent = decode_some(list(paths), SMALL, seconds)
    reasons = [answer if isinstance(answer, str) else judge(answer[0]) for answer in answers]
    return reasons, spent


def unreadable(bad: Sequence[tuple[str, str]]) -> str:
    """A sentence about pictures that cannot be read: the name of each, and the reason."""
    named = ", ".join(f"{shown(name)} ({reason})" for name, reason in bad)
    return f"Cannot read {named}: remove or replace {'it' if len(bad) == 1 else 'them'}."


def _caption(path: Path) -> str | None:
    text = path.with_suffix(".txt")
    if text == path or not text.is_file():
        return None
    try:
        return text.read_text(encoding="utf-8-sig").strip() or None
    except UnicodeDecodeError as error:
        raise InputError(
            f"The caption {shown(text.name)} is not UTF-8 text: save it as UTF-8."
        ) from error


# Looking.


def near_duplicates(photos: Sequence[Photo]) -> list[tuple[int, int]]:
    """Index pairs (i < j) of pictures that look the same: resaved, rescaled or slightly
    brightened copies."""
    looks = [_look(photo.pixels) for photo in photos]
    return [(i, j) for (i, a), (j, b) in combinations(enumerate(looks), 2) if _alike(a, b)]


def _look(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """128 bits: where a 9 x 9 grey thumbnail brightens rightwards and downwards; and a 16 x 16
    colour thumbnail."""
    picture = Image.fromarray(pixels)
    grey = np.asarray(picture.convert("L").resize((9, 9), Image.Resampling.BOX), dtype=np.int16)
    margin = 2  # flat areas differ by rounding only
    bits = np.stack([np.diff(grey, axis=1)[:8] > margin, np.diff(grey, axis=0)[:, :8] > margin])
    return bits, np.asarray(picture.resize((16, 16), Image.Resampling.BOX), dtype=np.int16)


def _alike(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> bool:
    return bool(np.sum(a[0] != b[0]) <= LIKE_HASH and np.abs(a[1] - b[1]).mean() <= LIKE_COLOUR)


# Advice.


def inspect(
    photos: Sequence[Photo],
    area: int,
    multiple: int = 16,
    trigger: str = "ohwx",
    find_faces: FindFaces | None = None,
) -> Report:
    """Judge pictures for training at `area` pixels: faults, near-duplicates, crops, captions, what
    they have in common, faces if there is something that finds them; and what to do about it."""
    names = [shown(photo.path.name) for photo in photos]
    pairs = near_duplicates(photos)
    twins = [
        [names[b if a == i else a] for a, b in pairs if i in (a, b)] for i in range(len(photos))
    ]
    found = [find_faces(photo.pixels) for photo in photos] if find_faces else None
    reports = [
        _inspect_one(
            photo,
            twins[i],
            bucket(photo.width, photo.height, area, multiple),
            found[i] if found else [],
        )
        for i, photo in enumerate(photos)
    ]
    copies = {later for _, later in pairs}
    single = [i for i in range(len(photos)) if i not in copies]
    advice = [
        *_advice_on_all(photos, len(copies)),
        *variety.advice(
            [names[i] for i in single],
            [photos[i].pixels for i in single],
            [found[i] for i in single] if found else None,
        ),
        *advice_on_captions(photos, trigger),
    ]
    return Report(reports, advice, _verdict(reports, len(single)))


def _inspect_one(
    photo: Photo, twins: list[str], bucket: tuple[int, int], found: Sequence[Face]
) -> PhotoReport:
    crop = crop_box(photo.width, photo.height, bucket)
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    lost = 1 - width * height / (photo.width * photo.height)
    told = [(fault.code, fault.advice) for fault in faults.of(photo.pixels)]
    if twins:
        told.append(("twin", f"nearly the same as {', '.join(twins)}: keep one of them"))
    if width * height < 0.8 * bucket[0] * bucket[1]:
        sizes = f"{photo.width} x {photo.height} for {bucket[0]} x {bucket[1]}"
        told.append(("small", f"smaller than the training size ({sizes}): details will be soft"))
    if lost >= NOTABLE_CROP:
        told.append(("crop", f"the crop loses {lost:.0%} of it"))
    told += _on_faces(found, crop, photo)
    return PhotoReport(
        shown(photo.path.name),
        photo.width,
        photo.height,
        faults.sharpness(photo.pixels),
        twins,
        crop,
        bucket,
        photo.caption is not None,
        [code for code, _ in told],
        [advice for _, advice in told],
    )


def _on_faces(
    found: Sequence[Face], crop: tuple[int, int, int, int], photo: Photo
) -> list[tuple[str, str]]:
    """Codes and advice on others in the picture, and on a face that is cut off."""
    if not found:
        return []
    told, first = [], found[0]
    others = sum(face.height > OTHER * first.height for face in found[1:])
    if others:
        told.append(
            ("others", f"shows {others + 1} faces: cut it so that the subject alone is in it")
        )
    left, top, right, bottom = crop
    if (
        first.left < left / photo.width
        or first.top < top / photo.height
        or first.right > right / photo.width
        or first.bottom > bottom / photo.height
    ):
        told.append(("cut", "the face is cut off: use one that shows all of it"))
    return told


def _verdict(photos: Sequence[PhotoReport], different: int) -> str:
    """On how many photos there are that differ from one another and have no fault of weight."""
    light = {"crop", "twin"}
    spoilt = sum(bool(set(photo.faults) - light) for photo in photos)
    if different < FEW:
        return f"poor: {different} different photos, and {FEW} are the least"
    if 2 * spoilt > len(photos):
        return f"poor: {spoilt} of {len(photos)} photos have a fault"
    if spoilt:
        return f"fair: {spoilt} of {len(photos)} photos have a fault; better without them"
    return f"good: {different} different photos without a fault"


def _advice_on_all(photos: Sequence[Photo], copies: int) -> list[str]:
    count, captions = len(photos), sum(photo.caption is not None for photo in photos)
    advice = []
    if count < FEW:
        advice.append(
            f"only {count} of at least {FEW} pictures: add some with another pose, light and "
            "background"
        )
    if count > MANY:
        advice.append(
            f"more than {MANY} pictures help only if each shows something new: keep the "
            "sharpest and most varied"
        )
    if count > 1 and copies == count - 1:
        advice.append(
            "all pictures are nearly the same: add some with another pose, light and background"
        )
    if 0 < captions < count:
        advice.append(
            f"{captions} of {count} pictures have a caption: write one for each or for none"
        )
    return advice


def advice_for_training(
    named: str | Path | Sequence[str | Path], photos: Sequence[Photo], trigger: str
) -> list[str]:
    """What lies beside the photos and is not used, and captions without the trigger words."""
    return [*left_out(named), *advice_on_captions(photos, trigger)]


def advice_on_captions(photos: Sequence[Photo], trigger: str) -> list[str]:
    """A sentence if captions lack the words that are to mean the subject: what they call it
    otherwise is learnt instead."""
    lacking = [
        shown(p.path.name)
        for p in photos
        if p.caption and trigger.lower() not in with_trigger(p.caption, trigger).lower()
    ]
    if not lacking:
        return []
    return [
        (
            f"captions that do not say {trigger}: {some(lacking)}; write it, or [trigger], where "
            "they name the subject"
        )
    ]
