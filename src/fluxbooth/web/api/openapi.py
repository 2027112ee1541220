"""/openapi.json: what FastAPI knows of the routes and their models, with what it cannot know: who
needs a key, every refusal, and examples."""

from __future__ import annotations

import re

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fluxbooth.service.contract.forms import PromptForm
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
    400: "The request cannot be understood",
    401: "The key is missing or wrong",
    402: "The account's funds do not cover it",
    403: "The account is disabled",
    404: "There is no such thing, or it is another account's",
    409: "The first request with this Idempotency-Key is under way",
    413: "The request, or a file in it, is too large",
    422: (
        "Fields that will not do, all at once: each by its name, and as sentences in `base`, "
        "`error` and `message`"
    ),
    429: "Too many requests in a second, or too many jobs waiting",
    502: "The writer of prompts gave nothing that will do",
    503: "The server is busy",
    504: "The writer of prompts did not answer in time",
    507: "The server's disk is full",
}
WAITING = {409, 429, 503, 507}
MAKING = {400, 402, 409, 413, 422, 507}  # of routes that take a body

EXAMPLES = {
    "/users": {"user": {"idempotent": True}},
    "/tunes": {
        "tune": {
            "title": "Ann",
            "name": "woman",
            "image_urls": [f"https://photos.example/{i}.jpg" for i in range(1, 5)],
            "callback": "https://app.example/trained?user=7",
        }
    },
    "/tunes/{number}/prompts": {
        "prompt": {
            "text": "ohwx woman at the beach, smiling",
            "num_images": 4,
            "aspect_ratio": "3:4",
        }
    },
    "/prompts": {
        "prompt": {
            "tune_id": 1504944,
            "text": "<lora:5000000:1> ohwx woman in a library",
            "seed": 7,
        }
    },
}


def install(app: FastAPI) -> None:
    def document() -> Json:
        app.openapi_schema = app.openapi_schema or _document(app)
        return app.openapi_schema

    app.openapi = document


def _document(app: FastAPI) -> Json:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    document["components"]["securitySchemes"] = {
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "A key as `fluxbooth key create` makes it",
        }
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
    answers: Json = {
        status: answer
        for status, answer in operation["responses"].items()
        if status.startswith("2")
    }
    if path == METRICS:
        answers["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    elif path.endswith(("/likes", "/like")):
        for answer in answers.values():
            answer.pop("content", None)
    elif path.endswith("/progress"):
        answers["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    refusals = _refusals(path, method)
    if any(asked["name"] == "before_id" for asked in operation["parameters"]):
        refusals |= {400, 422}  # of a page that is none
    operation["responses"] = answers | {
        str(status): _refusal(status) for status in sorted(refusals)
    }


def _parameters(path: str, method: str, operation: Json) -> None:
    """What routes read without FastAPI's help: parts of the path that they leave to another
    route's, the query that is a form, the header of what is to count once."""
    known = operation.setdefault("parameters", [])
    declared = {parameter["name"] for parameter in known}
    for name in re.findall(r"{(\w+)}", path):
        if name not in declared:
            known.append(
                {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            )
    if path == "/estimates/prompt":
        fields = PromptForm.model_json_schema()["properties"]
        known += [{"name": n, "in": "query", "schema": part} for n, part in fields.items()]
    if method == "post" and 409 in _refusals(path, method):
        known.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
                "description": "The same request under the same key counts once and gets the same "
                "answer",
            }
        )


def _refusals(path: str, method: str) -> set[int]:
    found = {503} if path in OPEN else {401, 403, 429, 503}
    # what a prompt is drawn on may be named in its body
    if "{" in path or path == METRICS or (method, path) == ("post", "/prompts"):
        found.add(404)
    if path.startswith("/estimates/"):
        found |= {404, 422}
    if method in ("post", "patch") and not path.endswith(("/cancel", "/likes", "/like", "/choose")):
        found |= MAKING
    if path.endswith("/choose"):
        found.add(422)
    if method != "get":
        found.add(507)
    if path in ("/packs/{name}", "/p/{name}"):
        found |= {401, 403, 429}  # a wrong key is refused, none is not
    return found | {502, 504} if path == "/themes" else found


def _refusal(status: int) -> Json:
    answer: Json = {
        "description": STATUSES[status],
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    return answer | ({"headers": WAITS} if status in WAITING else {})
