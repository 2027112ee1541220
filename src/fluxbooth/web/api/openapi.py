"""/openapi.json: what FastAPI knows of the routes, with what it cannot know: who needs a key,
every status, the objects and examples."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fluxbooth.types import Json

OPEN = {
    "/gallery/tunes",
    "/gallery/packs",
    "/gallery",
    "/workspaces",
    "/cli/models",
    "/health",
    "/ready",
    "/packs/{name}",
    "/p/{name}",
}
METRICS = "/metrics"
WAITS = {
    "Retry-After": {
        "description": "Seconds to wait before trying again",
        "schema": {"type": "string"},
    }
}
STATUSES = {
    400: "The request cannot be understood", 401: "The key is missing or wrong", 402: "The account's funds do not cover it",
    403: "The account is disabled", 404: "There is no such thing, or it is another account's",
    409: "The first request with this Idempotency-Key is under way", 413: "The request, or a file in it, is too large",
    422: ("Fields that will not do, all at once: each by its name, and as sentences in `base`, " "`error` and `message`"),
    429: "Too many requests in a second, or too many jobs waiting",
    502: "The writer of prompts gave nothing that will do", 503: "The server is busy", 504: "The writer of prompts did not answer in time",
    507: "The server's disk is full",
}  # fmt: skip
WAITING = {409, 429, 503, 507}
MAKING = {400, 402, 409, 413, 422, 507}  # of routes that take a body

# type words: a `?` says that it may be null; `x[]` is a list
TUNE = {
    "id": "integer", "title": "string", "name": "string", "is_api": "boolean", "token": "string?",
    "eta": "time?", "callback": "string?", "trained_at": "time?", "started_training_at": "time?",
    "expires_at": "time?", "created_at": "time", "updated_at": "time", "model_type": "string?",
    "base_tune_id": "integer?", "branch": "string", "args": "string?", "steps": "integer?",
    "preset": "string?", "face_crop": "boolean", "training_face_correct": "boolean",
    "auto_extend": "boolean", "ckpt_url": "string?", "ckpt_urls": "string[]", "url": "string",
    "orig_images": "string[]", "characteristics": "object", "base": "string", "cost_mc": "integer",
    "ref_with_trigger": "string", "continues": "integer?", "warnings": "string[]",
}  # fmt: skip
FAILED = {
    "failed_at": "time",
    "user_error": "string",
    "error": "string",
    "status": "string",
    "prompts": "object[]",
}
PROMPT = {
    "id": "integer", "callback": "string?", "trained_at": "time?", "started_training_at": "time?",
    "created_at": "time", "updated_at": "time", "tune_id": "integer", "text": "string",
    "negative_prompt": "string", "cfg_scale": "string?", "steps": "integer?",
    "super_resolution": "boolean", "ar": "string", "seed": "integer?",
    "controlnet_conditioning_scale": "number?", "controlnet_txt2img": "boolean",
    "denoising_strength": "number?", "style": "string?", "aspect_ratio": "string?",
    "resolution": "string?", "w": "integer?", "h": "integer?", "scheduler": "string?",
    "color_grading": "string?", "film_grain": "boolean", "hires_fix": "boolean",
    "face_correct": "boolean", "face_swap": "boolean", "inpaint_faces": "boolean",
    "prompt_expansion": "boolean", "theme": "string?", "controlnet": "string?",
    "use_lpw": "boolean", "backend_version": "string?", "num_images": "integer",
    "user_error": "string?", "url": "string", "images": "string[]", "only_upscale": "boolean",
    "tiled_upscale": "boolean", "is_multiperson": "boolean", "input_image": "string?",
    "mask_image": "string?", "image_references": "string[]", "prompt_likes_count": "integer",
    "liked": "boolean", "pack_id": "integer?", "base_pack_id": "integer?",
    "orig_prompt_id": "integer?", "order_id": "integer?", "cost_mc": "integer",
    "theme_writer": "string?", "warnings": "string[]", "tune": "object", "tunes": "object[]",
}  # fmt: skip
PROGRESS = {
    "id": "integer", "over": "boolean", "trained_at": "time?", "user_error": "string?",
    "step": "integer?", "steps": "integer?", "loss": "number?", "steps_per_second": "number?",
    "seconds_left": "number?", "losses": "number[]", "samples": "integer",
}  # fmt: skip
CHECKPOINT = {
    "step": "integer",
    "chosen": "boolean",
    "likeness": "number?",
    "url": "string?",
    "samples": "object[]",
}
ESTIMATE = {
    "cost_mc": "integer", "cost": "integer", "usd_balance_mc": "integer", "covered": "boolean",
    "seconds": "number?", "measured": "boolean", "waiting": "integer",
}  # fmt: skip
SHOWN = {  # what routes answer with: a name of a schema, [] for a list of it
    ("post", "/tunes"): "Tune", ("get", "/tunes"): "Tune[]", ("get", "/tunes/{number}"): "Tune", ("patch", "/tunes/{number}"): "Tune",
    ("post", "/tunes/{number}/cancel"): "Tune", ("get", "/tunes/{number}/progress"): "Progress", ("get", "/gallery/tunes"): "Tune[]",
    ("get", "/tunes/{number}/checkpoints"): "Checkpoint[]", ("post", "/tunes/{number}/checkpoints/{step}/choose"): "Tune",
    ("post", "/tunes/{number}/more"): "Tune", ("post", "/tunes/{number}/prompts"): "Prompt",
    ("get", "/tunes/{number}/prompts"): "Prompt[]", ("post", "/prompts"): "Prompt",
    ("get", "/prompts"): "Prompt[]", ("get", "/prompts/{number}"): "Prompt", ("patch", "/prompts/{number}"): "Prompt",
    ("get", "/tunes/{tune}/prompts/{number}"): "Prompt", ("patch", "/tunes/{tune}/prompts/{number}"): "Prompt",
    ("post", "/prompts/{number}/duplicate"): "Prompt", ("get", "/estimates/tune"): "Estimate", ("get", "/estimates/prompt"): "Estimate",
}  # fmt: skip
PAGE = {"limit": "integer", "offset": "integer", "before_id": "integer", "page": "integer"}
FILTERS = (
    PAGE
    | {"text": "string", "liked": "boolean"}
    | dict.fromkeys(
        ("tune_id", "pack_id", "base_pack_id", "orig_prompt_id", "order_id", "user_id"), "integer"
    )
)
QUERIES = {
    ("get", "/tunes"): PAGE | dict.fromkeys(("title", "name", "model_type", "branch"), "string"), ("get", "/prompts"): FILTERS,
    ("get", "/tunes/{number}/prompts"): FILTERS, ("get", "/packs"): PAGE | {"public": "boolean", "listed": "boolean"},
    ("get", "/gallery/packs"): PAGE, ("get", "/gallery/tunes"): {"title": "string"},
    ("delete", "/tunes/{number}"): {"delete_prompts": "boolean"},
    ("get", "/estimates/tune"): {"photos": "integer", "steps": "integer", "preset": "string", "branch": "string", "auto_extend": "boolean"},
    ("get", "/estimates/prompt"): dict.fromkeys(("tune_id", "num_images", "steps", "w", "h"), "integer") | {"aspect_ratio": "string"},
}  # fmt: skip
EXAMPLES = {
    "/users": {"user": {"idempotent": True}},
    "/tunes": {"tune": {"title": "Ann", "name": "woman", "image_urls": [f"https://photos.example/{i}.jpg" for i in range(1, 5)],
                        "callback": "https://app.example/trained?user=7"}},
    "/tunes/{number}/prompts": {"prompt": {"text": "ohwx woman at the beach, smiling", "num_images": 4, "aspect_ratio": "3:4"}},
    "/prompts": {"prompt": {"tune_id": 1504944, "text": "<lora:5000000:1> ohwx woman in a library", "seed": 7}},
}  # fmt: skip
EXAMPLE_TIME = "2026-01-02T03:04:05.678Z"


def install(app: FastAPI) -> None:
    def document() -> Json:
        app.openapi_schema = app.openapi_schema or _document(app)
        return app.openapi_schema

    app.openapi = document


def _document(app: FastAPI) -> Json:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    document["components"] = {
        "securitySchemes": {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "A key as `fluxbooth key create` makes it",
            }
        },
        "schemas": {
            "Tune": _object(
                TUNE,
                FAILED,
                "A subject learnt, or to be learnt",
                {"id": 5000000, "title": "Ann", "name": "woman"},
            ),
            "Prompt": _object(
                PROMPT,
                {},
                "A text drawn, or to be drawn; `images` is empty until then",
                {"id": 1, "num_images": 4},
            ),
            "Progress": _object(
                {n: PROGRESS[n] for n in ("id", "over", "trained_at", "user_error")},
                PROGRESS,
                "How far a training is",
                {},
            ),
            "Checkpoint": _object(
                CHECKPOINT,
                {},
                "A training after some steps; its samples have text, url and likeness",
                {"step": 75},
            ),
            "Estimate": _object(
                ESTIMATE,
                dict.fromkeys(("photos", "steps", "days", "pictures"), "integer?"),
                "What work would cost and take",
                {},
            ),
            "Error": _object(
                {"error": "string", "message": "string", "base": "string[]"},
                {},
                "Why not, in one sentence",
                {"error": "Not Found", "message": "Not Found"},
                more=True,
            ),
        },
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return document


def _complete(path: str, method: str, operation: Json) -> None:
    _parameters(path, method, operation)
    if path not in OPEN:
        operation["security"] = [{"key": []}]
    if path in EXAMPLES and (
        body := operation.get("requestBody", {}).get("content", {}).get("application/json")
    ):
        body["example"] = EXAMPLES[path]
    success = next(status for status in operation["responses"] if status.startswith("2"))
    answer: Json = {"description": operation["responses"][success]["description"]}
    if name := SHOWN.get((method, path)):
        schema: Json = {"$ref": f"#/components/schemas/{name.removesuffix('[]')}"}
        answer["content"] = {
            "application/json": {
                "schema": {"type": "array", "items": schema} if name.endswith("[]") else schema
            }
        }
    elif path == METRICS:
        answer["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif not path.endswith(("/likes", "/like")):
        answer["content"] = {"application/json": {"schema": {}}}
    if path.endswith("/progress"):
        answer["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    operation["responses"] = {success: answer} | {
        str(status): _refusal(status) for status in sorted(_refusals(path, method))
    }
    if path == "/themes":
        operation["responses"]["200"] = {
            "description": "Drafts, if `draft` was asked for",
            "content": {"application/json": {"schema": {}}},
        }


def _parameters(path: str, method: str, operation: Json) -> None:
    """What routes read without FastAPI's help: the query as leniently as bodies, the header of
    what is to count once."""
    known = operation.setdefault("parameters", [])
    declared = {parameter["name"] for parameter in known}
    for name in re.findall(r"{(\w+)}", path):
        if name not in declared:
            known.append(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            )
    for name, kind in QUERIES.get((method, path), {}).items():
        known.append({"name": name, "in": "query", "schema": {"type": kind}})
    if method == "post" and 409 in _refusals(path, method):
        known.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "The same request under the same key counts once and gets the same answer",
            }
        )


def _refusals(path: str, method: str) -> set[int]:
    found = {503} | (set() if path in OPEN else {401, 403, 429})
    if "{" in path or path == METRICS:
        found.add(404)
    if path.startswith("/estimates/"):
        found |= {404, 422}
    if method == "get" and path in (
        "/tunes",
        "/tunes/{number}/prompts",
        "/prompts",
        "/packs",
        "/gallery/packs",
    ):
        found |= {400, 422}
    if method in ("post", "patch") and not path.endswith(("/cancel", "/likes", "/like", "/choose")):
        found |= MAKING
    if path.endswith("/choose"):
        found.add(422)
    if method != "get":
        found.add(507)
    if path in ("/packs/{name}", "/p/{name}"):
        found |= {401, 403, 429}  # a wrong key is refused, none is not
    return found | ({502, 504} if path == "/themes" else set())


def _refusal(status: int) -> Json:
    answer: Json = {
        "description": STATUSES[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    return answer | ({"headers": WAITS} if status in WAITING else {})


def _object(
    fields: dict[str, str],
    optional: dict[str, str],
    description: str,
    example: Json,
    *,
    more: bool = False,
) -> Json:
    properties = {name: _type(word) for name, word in (fields | optional).items()}
    shown = {name: _example(word) for name, word in fields.items()} | example
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(fields),
        "additionalProperties": more,
        "example": shown,
    }


def _type(word: str) -> Json:
    plain = word.removesuffix("?").removesuffix("[]")
    schema: Json = {"type": "string", "format": "date-time"} if plain == "time" else {"type": plain}
    if "[]" in word:
        schema = {"type": "array", "items": schema}
    return {"anyOf": [schema, {"type": "null"}]} if word.endswith("?") else schema


def _example(word: str) -> Any:
    if word.endswith("?"):
        return None
    values = {
        "integer": 1504944,
        "string": "",
        "boolean": False,
        "number": 1.0,
        "time": EXAMPLE_TIME,
        "object": {},
    }
    return [] if word.endswith("[]") else values[word]
