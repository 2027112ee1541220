"""Holds what a server answers to the models that its routes promise, whatever a test asks for."""

from __future__ import annotations

import functools
import re
from typing import Any

import httpx
from fastapi.routing import iter_route_contexts
from pydantic import TypeAdapter

from fluxbooth.service.contract.response_models import Error
from fluxbooth.service.settings import Settings
from fluxbooth.web.app import create_app

ERROR = TypeAdapter(Error)


@functools.cache
def promised() -> list[tuple[re.Pattern[str], str, TypeAdapter[Any]]]:
    """Pattern of the path, method and model of each route that the document names."""
    found = []
    for known in iter_route_contexts(create_app(Settings()).routes):
        route: Any = known
        model = getattr(route, "response_model", None)
        if model is not None and route.include_in_schema:
            found += [
                (route.path_regex, method, TypeAdapter(model)) for method in route.methods or ()
            ]
    assert len(found) > 30
    return found


def held(answer: httpx.Response) -> None:
    """For a client's `event_hooks`: fails for an answer that is not as its route's model says,
    to the last field."""
    if not answer.headers.get("content-type", "").startswith("application/json"):
        return
    path = answer.request.url.path.rstrip("/").removesuffix(".json")
    if path.startswith(("/app", "/openapi")):
        return
    content = answer.read()
    if answer.status_code >= 400:
        ERROR.validate_json(content, strict=True)
        return
    for pattern, method, model in promised():
        if method == answer.request.method and pattern.fullmatch(path):
            model.validate_json(content, strict=True)
            return
    raise AssertionError(f"No model is promised for {answer.request.method} {path}.")
