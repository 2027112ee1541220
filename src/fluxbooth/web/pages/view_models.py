"""Rows as templates show them: plain values, nothing that could load or change one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from fluxbooth.prompts import options
from fluxbooth.prompts.language import trigger_words
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.service import safety
from fluxbooth.service.contract import responses
from fluxbooth.service.contract.responses import base_name
from fluxbooth.service.db.checkpoint_tables import Checkpoint
from fluxbooth.service.db.tables import Image, Prompt, Tune
from fluxbooth.service.prompts.tags import TAG
from fluxbooth.service.tunes.tunes import CANCELLED
from fluxbooth.types import Json
from fluxbooth.web.pages.texts import duration, plain, text

# what can be done to a picture, and the option that does it
DEEDS = {
    "larger": "super_resolution",
    "faces": "face_correct",
    "background": "remove_background",
    "extend": "outpaint",
    "part": "mask_prompt",
}
WIDEST_THUMB = 512  # pixels; a picture that is no wider is its own thumbnail


def state_of(row: Tune) -> str:
    if row.failed_at:
        return "cancelled" if row.user_error == CANCELLED else "failed"
    if row.trained_at:
        return "trained"
    return "training" if row.started_training_at else "queued"


def tune(row: Tune) -> Json:
    progress, state = row.progress or {}, state_of(row)
    left = progress.get("seconds_left")
    return {
        "id": row.id,
        "title": row.title,
        "name": row.name,
        "model_type": row.model_type,
        "state": state,
        "over": state in ("trained", "failed", "cancelled"),
        "reason": plain(row.user_error) if row.user_error else None,
        "step": progress.get("step"),
        "steps": progress.get("steps") or row.steps or row.spec.get("steps"),
        "looks": len(progress.get("looks", [])),
        "curve": curve([look["value"] for look in progress.get("looks", [])]),
        "best": progress.get("best"),
        "report": progress.get("report", False),
        "left": duration(left) if left and state == "training" else None,
        "resumed_at": progress.get("resumed_at"),
        "interrupted": progress.get("interrupted"),
        "trigger": trigger_words(row.token or "", row.name),
        "continues": row.continues,
        "warnings": [plain(sentence) for sentence in responses.warnings(row)],
        "base": base_name(row.base),
        "expires": row.expires_at,
        "deletable_at": row.expires_at,
        "trained_at": row.trained_at,
        "face": f"/app/tunes/{row.id}/photos/{row.photos[0].id}"
        if row.photos and row.photos[0].key
        else None,
        "photos": [
            {"id": photo.id, "src": f"/app/tunes/{row.id}/photos/{photo.id}" if photo.key else None}
            for photo in row.photos
        ],
    }


def curve(values: Sequence[float]) -> str | None:
    """Points of a line of values from 0 to 1, in a box of 120 x 32; None of a single one."""
    if len(values) < 2:
        return None
    across = 116 / (len(values) - 1)
    return " ".join(f"{2 + i * across:.1f},{30 - 28 * value:.1f}" for i, value in enumerate(values))


def checkpoints(row: Tune, found: Sequence[Checkpoint]) -> list[Json]:
    """The training's way, each step with the pictures that it drew."""
    return [
        {
            "step": stage.step,
            "lora": stage.lora,
            "chosen": stage.lora is not None and stage.lora == row.lora,
            "likeness": stage.likeness,
            "samples": [
                {
                    "id": one.id,
                    "src": f"/app/tunes/{row.id}/samples/{one.id}",
                    "text": one.text,
                    "likeness": one.likeness,
                }
                for one in stage.samples
            ],
        }
        for stage in found
    ]


def likeness(stages: list[Json], row: Tune) -> Json | None:
    """What was measured of the LoRA in use, beside what its figures are to be held to; None
    where nothing was."""
    chosen = next(
        (stage for stage in stages if stage["chosen"] and stage["likeness"] is not None), None
    )
    if chosen is None or row.likeness_of_photos is None:
        return None
    before = next((stage["likeness"] for stage in stages if stage["step"] == 0), None)
    figures = {"now": chosen["likeness"], "photos": row.likeness_of_photos, "before": before}
    ranked = sorted(chosen["samples"], key=lambda sample: sample["likeness"] or 0.0)
    return {
        "figures": [(name, value) for name, value in figures.items() if value is not None],
        "best": ranked[-1],
        "worst": ranked[0],
    }


def words(prompt: Prompt) -> str:
    """The text without its LoRA tags and options: what a person wrote."""
    return " ".join(TAG.sub(" ", options.without_flags(prompt.text)).split())


def prompt(row: Prompt, *, only_liked: bool = False) -> Json:
    """With its pictures, or those of them that are liked."""
    state = (
        "failed"
        if row.user_error
        else "done"
        if row.trained_at
        else "drawing"
        if row.started_training_at
        else "waiting"
    )
    tunes = [
        {"id": use.tune_id, "title": use.tune.title, "gone": use.tune.deleted_at is not None}
        for use in row.uses
    ]
    return {
        "id": row.id,
        "words": words(row),
        "state": state,
        "reason": plain(row.user_error) if row.user_error else None,
        "notes": [plain(one["message"]) for one in row.advice if one["code"] == safety.NOTE],
        "liked": row.liked,
        "count": row.num_images,
        "ratio": row.spec.get("aspect_ratio") or "1:1",
        "tunes": tunes,
        "again": again(row),
        "images": [image(i, row) for i in row.images if i.liked or not only_liked],
        "state_text": text(f"card.{state}") if state != "done" else "",
    }


def again(row: Prompt, **changes: Any) -> list[tuple[str, Any]]:
    """The query of the page Create that holds the same words, drawn with the same tunes."""
    asked: Json = {
        "text": words(row),
        "ratio": row.spec.get("aspect_ratio") or "1:1",
        "count": row.num_images,
        **changes,
    }
    used = [f"{use.tune_id}:{use.weight:g}" for use in row.uses if not use.tune.deleted_at]
    return [*asked.items(), *(("tune", tune) for tune in used)]


def deeds() -> list[str]:
    """What can be done to a picture here."""
    return [deed for deed, option in DEEDS.items() if OPTIONS[option].status == "works"]


def _before(row: Image, of: Prompt) -> str | None:
    """Where the picture is that this one was made of, if the two can be held beside each other."""
    start = row.recipe.get("input")
    kept = start and (start["masked"] or not start["strength"])
    moved = any(step["step"] == "outpaint" for step in row.recipe.get("enhanced", ()))
    return f"/app/prompts/{of.id}/before" if kept and not moved else None


def image(row: Image, of: Prompt) -> Json:
    whole = responses.image_path(row)
    return {
        "name": row.name,
        "src": whole,
        "before": _before(row, of),
        "file": f"fluxbooth-{of.id}-{row.seed}{PurePath(whole).suffix}",
        "thumb": whole if row.width <= WIDEST_THUMB else f"/app/thumbs/{row.name}",
        "page": f"/app/pictures/{row.name}",
        "width": row.width,
        "height": row.height,
        "seed": row.seed,
        "alt": words(of),
        "liked": row.liked,
        "recipe": recipe(row, of),
        "same_seed": again(of, seed=row.seed, count=1),
        "over": again(of, **{"from": row.name}, count=1),
    }


def recipe(row: Image, of: Prompt) -> list[tuple[str, str]]:
    """What it takes to make this picture again."""
    made = row.recipe
    facts = {
        "base": str(made.get("base", "")).rpartition("/")[2],
        "seed": row.seed,
        "size": f"{row.width} × {row.height}",
        "steps": made.get("steps"),
        "guidance": made.get("guidance"),
        "version": made.get("version"),
        "tunes": ", ".join(f"{use.tune.title} at {use.weight:g}" for use in of.uses),
    }
    if start := made.get("input"):
        facts["start"] = text(
            "recipe.start.masked" if start["masked"] else "recipe.start.whole",
            strength=f"{start['strength']:g}",
        )
    done = [step for step in made.get("enhanced", ()) if step.get("drawn", 1)]
    steps = [text(f"step.{step['step']}") for step in done]
    facts["then"] = ", ".join(steps)
    return [
        (text(f"recipe.{name}"), str(value))
        for name, value in facts.items()
        if value not in (None, "")
    ]
