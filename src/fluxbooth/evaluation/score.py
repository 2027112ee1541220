"""`fluxbooth score`: pictures against the photos of their subject, by every measure there is for
them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from PIL import Image

from fluxbooth.evaluation import (
    copying,
    lettering,
    likeness,
    quality,
    subjects,
    text_match,
    wishes,
)
from fluxbooth.evaluation.intervals import estimate, percent
from fluxbooth.models.attribute_reader import Reading, load_reader
from fluxbooth.models.base import Base
from fluxbooth.prompts import language
from fluxbooth.types import Json

Pictures = Sequence[Image.Image]


def score(
    pictures: Pictures,
    photos: Pictures,
    base: Base,
    prompts: Sequence[str] = (),
    people: tuple[Pictures, Pictures] | None = None,
) -> Json:
    """At least one picture of a base, and photo; `prompts` are one for all pictures or one each;
    `people`: photos of two subjects that calibrate.

    Every share is 0 to 1 with its 95% interval over the pictures.
    """
    texts = list(prompts) * (len(pictures) if len(prompts) == 1 else 1)
    measure = subjects.measure_for(base, photos)
    report: Json = {"pictures": len(pictures), "photos": len(photos), "base": base.name}
    if people:
        measure, report["calibration"] = subjects.calibrated(measure, *people)
    report["identity"] = _identity(measure, pictures, photos)
    if base.reader is not None:
        reader = load_reader(base.reader)
        readings, subject = reader.read(pictures), likeness.identity_of(reader.read(photos))
        report["traits"] = _traits(readings, subject)
        asked = [wishes.asked(text, reader.attributes) for text in texts]
        # what a prompt says of who it is, the photos say better
        asked = [
            {name: value for name, value in wish.items() if name not in likeness.IDENTITY}
            for wish in asked
        ]
        if any(asked):
            report["prompt"] = _prompt(readings, asked)
    if texts and (found := text_match.match(pictures, texts)):
        report["text"] = found
    if any(quoted := [language.quoted(text) for text in texts]):
        report["lettering"] = _lettering(pictures, quoted)
    report["copying"] = _copying(pictures, photos)
    told = [quality.faults_of(picture) for picture in pictures]
    report["quality"] = {
        "sound": estimate([float(not faults) for faults in told]),
        "faults": told,
    }
    return report


def _identity(measure: subjects.Measure, pictures: Pictures, photos: Pictures) -> Json:
    subject = measure.subject(photos)
    found = [measure.similarity(picture, subject) for picture in pictures]
    known = [value for value in found if value is not None]
    told: Json = {
        "by": measure.by,
        "similarity": [None if value is None else round(value, 4) for value in found],
    }
    # a picture in which nothing can be compared shows the subject as little as a wrong one
    if measure.probability is not None:
        probability = measure.probability
        told["probability"] = estimate(
            [0.0 if value is None else probability(value) for value in found]
        )
    if measure.same is not None:
        least = measure.same
        told["same"] = estimate([float(value is not None and value >= least) for value in found])
    told["not_told"] = len(found) - len(known)
    return told


def _traits(readings: Sequence[Reading], subject: Reading) -> Json:
    """What differs, and how often."""
    differs = Counter(
        f"{name.replace('_', ' ')}: {reading[name]}, not {subject[name]}"
        for reading in readings
        for name in likeness.IDENTITY
        if reading[name] != subject[name]
    )
    return {
        "agree": estimate([likeness.agreement([reading], [subject]) for reading in readings]),
        "subject": subject,
        "differs": dict(differs.most_common()),
    }


def _prompt(readings: Sequence[Reading], asked: Sequence[Reading]) -> Json:
    rows = [(reading, wish) for reading, wish in zip(readings, asked, strict=True) if wish]
    missing = Counter(
        f"{name.replace('_', ' ')}: {reading[name]}, not {value}"
        for reading, wish in rows
        for name, value in wish.items()
        if reading[name] != value
    )
    return {
        "right": estimate([likeness.agreement([reading], [wish]) for reading, wish in rows]),
        "missing": dict(missing.most_common()),
    }


def _lettering(pictures: Pictures, quoted: Sequence[Sequence[str]]) -> Json:
    read = [lettering.read(picture) for picture in pictures]
    shares = [
        lettering.found(words, lines)
        for lines, wanted in zip(read, quoted, strict=True)
        for words in wanted
    ]
    return {"letters": estimate(shares), "word_for_word": estimate([float(s == 1) for s in shares])}


def _copying(pictures: Pictures, photos: Pictures) -> Json:
    nearest = [copying.nearest(picture, photos) for picture in pictures]
    between = [
        copying.likeness(pictures[i], pictures[j])
        for i in range(len(pictures))
        for j in range(i)
        if len(pictures) <= MOST_COMPARED
    ]
    return {
        "copies": estimate([float(close >= copying.COPY) for _, close in nearest]),
        "nearest": [[photo, round(close, 3)] for photo, close in nearest],
        "alike": round(sum(x >= copying.COPY for x in between) / len(between), 4)
        if between
        else None,
    }


MOST_COMPARED = 40  # pictures, of which each is compared with each


def lines(report: Json) -> list[str]:
    """For people."""
    identity = report["identity"]
    said = [f"{report['pictures']} pictures of {report['base']}, {report['photos']} photos"]
    if "probability" in identity:
        said.append(f"the subject, by {identity['by']}: {percent(identity['probability'])}")
    elif "same" in identity:
        said.append(
            f"called the same person by dlib's own threshold: {percent(identity['same'])}; how "
            "likely that is was not measured on photographs (--calibrate measures it on yours)"
        )
    else:
        known = [value for value in identity["similarity"] if value is not None]
        said.append(
            f"similarity by {identity['by']}: {sum(known) / len(known):.2f}; compare it with that "
            "of other pictures, it is no percentage (--calibrate makes one)"
        )
    if "text" in report:
        near = report["text"]["similarity"]
        said.append(
            f"similarity to their texts by {report['text']['by']}: {sum(near) / len(near):.2f}; "
            "compare it with that of other pictures of these texts"
        )
    for part, key, words in PARTS:
        if key in report.get(part, {}):
            said.append(f"{words}: {percent(report[part][key])}")
    for part in ("traits", "prompt"):
        named = report.get(part, {}).get("differs" if part == "traits" else "missing", {})
        said += [f"    {count} x {what}" for what, count in list(named.items())[:MOST_NAMED]]
    counts = Counter(fault for faults in report["quality"]["faults"] for fault in faults)
    said += [f"    {count} x {fault}" for fault, count in counts.items()]
    return said


MOST_NAMED = 6  # differences of a kind, for people
PARTS = (
    ("traits", "agree", "traits that agree, by the reader"),
    ("prompt", "right", "of what the prompts ask for"),
    ("text", "nearest", "pictures nearest to their own text"),
    ("lettering", "word_for_word", "lettering word for word"),
    ("copying", "copies", "copies of a photo"),
    ("quality", "sound", "pictures without a technical fault"),
)
