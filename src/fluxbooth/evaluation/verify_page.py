"""The report of `fluxbooth verify` as one HTML file: pictures inlined, figures beside their
predictions, nothing fetched."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from PIL import Image

from fluxbooth.evaluation import contact_sheet
from fluxbooth.memory.estimate import Choice
from fluxbooth.memory.size import Shape
from fluxbooth.types import Json

NEVER = "not measured: this part failed"
UNREAD = "not read: pip install 'fluxbooth[lettering]'"


@dataclass(frozen=True)
class Pictures:
    photos: Sequence[Image.Image]
    texts: Sequence[str]
    without: Sequence[Image.Image]
    with_lora: Sequence[Image.Image]
    words: Sequence[str] = ()  # of the signs
    signs: Sequence[Image.Image] = ()


def choice(chosen: Choice, size: Shape) -> Json:
    """What was given up to fit, as JSON."""
    return asdict(chosen) | {"checkpointing": chosen.checkpointing(size)}


def page(report: Json, pictures: Pictures) -> str:
    place, base = report["machine"]["gpu"] or report["machine"]["processor"], report["base"]["name"]
    title = f"Fluxbooth verification: {base} on {place}"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _checks(report["checks"]),
        contact_sheet.table("Figures", ("", "measured", "predicted"), figures(report)),
        _pictures(pictures),
        contact_sheet.table("What was done", ("", ""), _job(report)),
        contact_sheet.table("Where", ("", ""), _where(report)),
        "<details><summary>report.json</summary>"
        f"<pre>{html.escape(json.dumps(report, indent=1))}</pre></details>",
    ]
    return contact_sheet.document(title, "\n".join(parts))


def figures(report: Json) -> list[tuple[str, str, str]]:
    """What was measured, and what had been predicted of it: rows for people."""
    training, drawing, resume = report["training"], report["drawing"], report["resume"]
    rows = [
        *_speed_and_memory("training step", training, "seconds_per_step"),
        *_speed_and_memory("picture", drawing, "seconds_per_picture"),
    ]
    if "failed" not in drawing:
        likeness = drawing["likeness"]
        for name, key in (
            ("the subject's traits in the pictures", "subject_similarity"),
            ("what the prompts ask for", "prompt_accuracy"),
        ):
            without = likeness[f"{key}_without_lora"]
            rows.append((name, f"{likeness[key]:.0%} with the LoRA, {without:.0%} without", ""))
        if report["job"]["signs"]:
            read = drawing["lettering"]
            right = f"{read['letters_right']:.0%}" if read else UNREAD
            rows.append(("letters of the signs that can be read", right, ""))
    if "failed" not in training:
        seconds = f"{training['seconds_to_prepare']:g} s"
        rows.append(("loading and encoding before the first step", seconds, ""))
    if "failed" not in resume:
        difference = f"{resume['difference']:.1e}" if resume["difference"] else "none"
        rows.append(("resume: difference of the weights learnt", difference, "none"))
    return rows


def _speed_and_memory(name: str, part: Json, key: str) -> list[tuple[str, str, str]]:
    if "failed" in part:
        return [(name, NEVER, "")]
    predicted, taken = part.get(f"predicted_{key}"), part["memory"]
    expected = f"{predicted:g} s" if predicted else "no prediction"
    expected_memory = f"{taken['predicted_gb']:g} GB ({taken['off_by']:+.0%})"
    return [
        (f"one {name}", f"{part[key]:g} s", expected),
        (f"{taken['of']} at its peak, {name}", f"{taken['measured_gb']:g} GB", expected_memory),
    ]


def _checks(checks: Sequence[Json]) -> str:
    items = "".join(
        f"<li>{'held' if row['ok'] else '<b>did not hold</b>'}: {html.escape(row['what'])}; "
        f"{html.escape(row['why'])}</li>"
        for row in checks
    )
    return f"<ul>{items}</ul>"


def _pictures(pictures: Pictures) -> str:
    if not pictures.with_lora:
        return ""
    photos = "".join(
        f'<img class="photo" src="{contact_sheet.inlined(photo)}" alt="training photo">'
        for photo in pictures.photos
    )
    rows = zip(pictures.texts, pictures.without, pictures.with_lora, strict=True)
    pairs = "".join(
        f'<figure><img src="{contact_sheet.inlined(plain)}" alt="without the LoRA"><img '
        f'src="{contact_sheet.inlined(personal)}" alt="with the LoRA">'
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
        for text, plain, personal in rows
    )
    pairs += "".join(
        f'<figure><img src="{contact_sheet.inlined(sign)}" alt="a sign">'
        f"<figcaption>{html.escape(words)}</figcaption></figure>"
        for words, sign in zip(pictures.words, pictures.signs, strict=True)
    )
    return (
        f"<h2>Pictures</h2><p>{len(pictures.photos)} training photos, which come with Fluxbooth; "
        "below, pairs of the same words and seed, left without the LoRA, right with it. Traits are "
        "read by a small network that knows these drawings: of a photograph it says nothing."
        f"</p><p>{photos}</p>{pairs}"
    )


def _job(report: Json) -> list[tuple[str, str]]:
    rows = [
        (
            name.replace("_", " "),
            ", ".join(map(str, value)) if isinstance(value, list) else str(value),
        )
        for name, value in report["job"].items()
    ]
    for name in ("training", "drawing"):
        if "failed" not in report[name]:
            chosen = report[name]["choice"]
            rows.append(
                (
                    f"chosen, {name}",
                    ", ".join(
                        f"{key} {value}" for key, value in chosen.items() if key != "checkpointed"
                    ),
                )
            )
    return [*rows, ("seconds in all", f"{report['seconds_total']:g}")]


def _where(report: Json) -> list[tuple[str, str]]:
    groups = {
        "machine": report["machine"],
        "fluxbooth": report["fluxbooth"],
        "base": report["base"],
        "": report["versions"],
    }
    return [
        (f"{group} {name}".replace("_", " ").strip(), str(value))
        for group, rows in groups.items()
        for name, value in rows.items()
        if value is not None
    ]
