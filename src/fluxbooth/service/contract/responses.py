"""Rows as the JSON objects of the contract.

A healthy object never carries a truthy `error`, `status` or `message`.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import PurePath
from typing import cast, overload

from fluxbooth.prompts.language import trigger_words
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.service.contract import public_bases, response_models
from fluxbooth.service.contract.public_bases import PUBLIC, PUBLIC_SINCE
from fluxbooth.service.db.checkpoint_tables import Checkpoint
from fluxbooth.service.db.tables import Image, Prompt, Tune
from fluxbooth.service.settings import Settings, branch_of
from fluxbooth.types import Json

Sign = Callable[[str], str]
NO_FACES = (
    "This server does not look for faces (it lacks fluxbooth[faces]): face_crop was left out, "
    "and the whole photos are learnt."
)
NO_FACE_CORRECT = "training_face_correct does nothing here: the photos are learnt as they are."


@overload
def time(value: datetime.datetime) -> str: ...
@overload
def time(value: datetime.datetime | None) -> str | None: ...
def time(value: datetime.datetime | None) -> str | None:
    """ISO with milliseconds and Z, of a time in UTC."""
    return value.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z" if value else None


def tune(row: Tune, settings: Settings, sign: Sign) -> response_models.Tune:
    """`sign` makes the short-lived address of a stored file from its key."""
    trigger = trigger_words(row.token or "", row.name)
    shown: response_models.Tune = {
        "id": row.id,
        "title": row.title,
        "name": row.name,
        "is_api": True,
        "token": row.token,
        "eta": time(row.eta),
        "callback": row.callback,
        "trained_at": time(row.trained_at),
        "started_training_at": time(row.started_training_at),
        "expires_at": time(row.expires_at),
        "created_at": time(row.created_at),
        "updated_at": time(row.updated_at),
        "model_type": row.model_type,
        "base_tune_id": row.base_tune_id,
        "branch": row.branch,
        "args": None,
        "steps": row.steps,
        "preset": row.preset,
        "face_crop": row.face_crop,
        "training_face_correct": row.training_face_correct,
        "auto_extend": row.auto_extend,
        "ckpt_url": None,
        "ckpt_urls": [],
        "url": f"{settings.url}/tunes/{row.id}.json",
        "orig_images": [sign(photo.key) if photo.key else photo.url or "" for photo in row.photos],
        "characteristics": row.characteristics,
        "base": base_name(row.base),
        "cost_mc": row.cost_mc,
        "continues": row.continues,
        "warnings": warnings(row),
        "ref_with_trigger": f"<{row.model_type}:{row.id}:1.0> {trigger}".strip(),
    }
    if row.lora and settings.lora_download and row.trained_at:
        shown["ckpt_url"] = sign(row.lora)
        shown["ckpt_urls"] = [shown["ckpt_url"]]
    if row.failed_at:
        shown["failed_at"] = time(row.failed_at)
        shown["user_error"] = shown["error"] = row.user_error or ""
        shown["status"] = "failed"
    return shown


def base_name(base: str) -> str:
    """Of a base that is a folder or a file of the server, its name alone."""
    return base.rpartition("/")[2]


def warnings(row: Tune) -> list[str]:
    """What was asked for and left out, and what its training said."""
    left_out = {
        NO_FACES: row.face_crop and not row.spec.get("face_crop"),
        NO_FACE_CORRECT: row.training_face_correct,
    }
    return [*(sentence for sentence, is_so in left_out.items() if is_so), *row.warnings]


def checkpoint(
    row: Checkpoint, tune: Tune, settings: Settings, sign: Sign
) -> response_models.Checkpoint:
    """Ours: no other server shows these."""
    return {
        "step": row.step,
        "chosen": row.lora is not None and row.lora == tune.lora,
        "likeness": row.likeness,
        "url": sign(row.lora) if row.lora and settings.lora_download else None,
        "samples": [
            {"text": sample.text, "url": sign(sample.key), "likeness": sample.likeness}
            for sample in row.samples
        ],
    }


def title_of(number: int, settings: Settings) -> str:
    """Of a base_tune_id, with what answers it where that is a base of another kind."""
    base, public = settings.base_of(number), PUBLIC.get(number)
    meant = branch_of(public.base) if public else branch_of(base)
    other = f" (answered by {base_name(base)})" if meant != branch_of(base) else ""
    return public_bases.title(number) + other


def public_tune(number: int, settings: Settings) -> response_models.Tune:
    since = time(PUBLIC_SINCE)
    base = settings.base_of(number)
    return {
        "id": number,
        "title": title_of(number, settings) + (" (answered by nano)" if settings.stand_in else ""),
        "name": "base",
        "is_api": False,
        "token": None,
        "eta": since,
        "callback": None,
        "trained_at": since,
        "started_training_at": since,
        "expires_at": None,
        "created_at": since,
        "updated_at": since,
        "model_type": None,
        "base_tune_id": None,
        "branch": branch_of(base),
        "args": None,
        "steps": None,
        "preset": None,
        "face_crop": False,
        "training_face_correct": False,
        "auto_extend": True,
        "ckpt_url": None,
        "ckpt_urls": [],
        "url": f"{settings.url}/tunes/{number}.json",
        "orig_images": [],
        "characteristics": {},
        "base": base_name(base),
        "cost_mc": 0,
        "continues": None,
        "warnings": [],
        "ref_with_trigger": "",
    }


# of PromptForm, as stored in `fields`, in the order of the contract; what is absent is shown as its
# default
PROMPT_FIELDS: Json = {
    "negative_prompt": "", "cfg_scale": None, "steps": None, "super_resolution": False, "ar": "1:1",
    "seed": None, "controlnet_conditioning_scale": None, "controlnet_txt2img": False,
    "denoising_strength": None, "style": None, "aspect_ratio": None, "resolution": None, "w": None,
    "h": None, "scheduler": None, "color_grading": None, "film_grain": False, "hires_fix": False,
    "face_correct": False, "face_swap": False, "inpaint_faces": False, "prompt_expansion": False,
    "theme": None, "controlnet": None, "use_lpw": False, "backend_version": None,
    **{row.name: row.default for row in OPTIONS.values() if row.of_spec},
}  # fmt: skip


def prompt(row: Prompt, settings: Settings, sign: Sign) -> response_models.Prompt:
    """`sign` makes the short-lived address of a stored file from its key."""
    inputs, addresses = row.fields.get("inputs", {}), row.fields.get("input_urls", {})
    fields = {name: row.fields.get(name, default) for name, default in PROMPT_FIELDS.items()}
    if fields["cfg_scale"] is not None:
        fields["cfg_scale"] = str(float(fields["cfg_scale"]))
    shown = {
        "id": row.id,
        "callback": row.callback,
        "trained_at": time(row.trained_at),
        "started_training_at": time(row.started_training_at),
        "created_at": time(row.created_at),
        "updated_at": time(row.updated_at),
        "tune_id": row.tune_id,
        "text": row.text,
        **fields,
        "num_images": row.num_images,
        "user_error": row.user_error,
        "url": f"{settings.url}/tunes/{row.tune_id}/prompts/{row.id}.json",
        # never some of them
        "images": [settings.url + image_path(image) for image in row.images]
        if row.trained_at
        else [],
        "is_multiperson": bool(fields["multi"] or fields["use_regional"]),
        **{
            name: sign(inputs[name]) if name in inputs else addresses.get(name)
            for name in ("input_image", "mask_image")
        },
        "image_references": [],
        "prompt_likes_count": row.likes,
        "liked": row.liked,
        "pack_id": row.pack_id,
        "base_pack_id": row.base_pack_id,
        "orig_prompt_id": row.orig_prompt_id,
        "order_id": row.order_id,
        "cost_mc": row.cost_mc,
        "theme_writer": row.fields.get("theme_writer"),
        "warnings": [advice["message"] for advice in row.advice],
        "tune": {"id": row.tune_id, "title": title_of(row.tune_id, settings), "name": "base"},
        "tunes": [
            {"id": use.tune_id, "title": use.tune.title, "name": use.tune.name} for use in row.uses
        ],
    }
    return cast(response_models.Prompt, shown)  # `fields` are what PromptForm let through


def image_path(image: Image) -> str:
    """Of its public address."""
    return f"/images/{image.name}{PurePath(image.key).suffix}"
