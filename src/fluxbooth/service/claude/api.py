"""The door to Claude, over the `anthropic` package, which is imported only when something is asked.

Who asks brings a `Task` and checks the answer, which is the text of a stranger like any other.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from fluxbooth.service.errors import ServiceError
from fluxbooth.service.settings import Settings
from fluxbooth.types import Json

if TYPE_CHECKING:
    from anthropic import Anthropic
    from anthropic.types import Message

DEFAULT_WAIT = 20  # seconds
TRIES = 2
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Task:
    """What Claude is asked to do: by which setting its model is chosen, its instructions, the
    schema of its answer."""

    model: str
    """Name of the setting."""
    system: str
    schema: Json
    declined: str
    """What to say if it declines."""
    most_tokens: int = 4000


def ask(settings: Settings, task: Task, messages: Sequence[Json], seconds: float) -> str:
    """Claude's answer: JSON by the task's schema, if it kept to it.

    Raises ServiceError, one sentence, for everything else: 422 if it declines, 502-504 for what may
    pass.
    """
    door = client(settings.anthropic_api_key, settings.anthropic_url)
    import anthropic

    asked: Any = {
        "model": getattr(settings, task.model),
        "max_tokens": task.most_tokens,
        "system": task.system,
        "messages": messages,
        "output_config": {"format": {"type": "json_schema", "schema": task.schema}},
        "timeout": seconds,
    }
    try:
        answer = cast("Message", door.messages.create(**asked))
    except anthropic.APITimeoutError as error:
        raise ServiceError(
            f"Claude did not answer within {seconds:.0f} seconds: try again.", 504
        ) from error
    except anthropic.APIConnectionError as error:
        raise ServiceError(
            "Claude cannot be reached from this server: try again later.", 503, _wait(None)
        ) from error
    except anthropic.AuthenticationError as error:
        raise ServiceError(
            "Claude refused this server's key: check FLUXBOOTH_ANTHROPIC_API_KEY.", 503
        ) from error
    except anthropic.APIStatusError as error:
        if error.status_code == 429 or error.status_code >= 500:
            wait = _wait(error.response.headers.get("retry-after"))
            raise ServiceError("Claude is busy: try again a little later.", 503, wait) from error
        where = f"FLUXBOOTH_{task.model.upper()}"
        raise ServiceError(
            f"Claude refused the request with status {error.status_code}: check {where}.", 502
        ) from error
    except anthropic.AnthropicError as error:
        raise ServiceError(
            f"Claude's answer cannot be read ({type(error).__name__}): try again.", 502
        ) from error
    if answer.stop_reason == "refusal":
        raise ServiceError(task.declined)
    return "".join(block.text for block in answer.content if block.type == "text")


def mended(
    settings: Settings,
    task: Task,
    asked: Json,
    read: Callable[[str], tuple[Answer, list[str]]],
    refused: str,
) -> Answer:
    """What `read` makes of Claude's answer to `asked`, which goes to it as data. Of the faults that
    `read` finds, it is told once, and asked again.

    Raises ServiceError where it does not answer within FLUXBOOTH_THEME_SECONDS, and with `refused`,
    which has `{}` for the first fault, for what it wrote then.
    """
    messages: list[Json] = [{"role": "user", "content": json.dumps(asked, ensure_ascii=False)}]
    began, wrong = time.monotonic(), [""]
    for _ in range(TRIES):
        left = settings.theme_seconds - (time.monotonic() - began)
        if left < 1:
            break
        said = ask(settings, task, messages, left)
        answer, wrong = read(said)
        if not wrong:
            return answer
        messages += [
            {"role": "assistant", "content": said or "(nothing)"},
            {"role": "user", "content": "Mend this:\n" + "\n".join(wrong)},
        ]
    raise ServiceError(refused.format(wrong[0]), 502)


@functools.lru_cache(maxsize=1)
def client(key: str | None, url: str | None) -> Anthropic:
    """One for all threads, so that its connections are used again.

    Making it takes seconds the first time.
    """
    try:
        import anthropic
    except ImportError as error:
        raise ServiceError(
            "Claude needs the anthropic package: install fluxbooth[themes].", 503
        ) from error
    return anthropic.Anthropic(api_key=key, base_url=url or None, max_retries=0)


def warm(settings: Settings) -> None:
    """Makes the client before the first request needs it, and has no time for that."""
    with contextlib.suppress(ServiceError):  # a request will say it
        client(settings.anthropic_api_key, settings.anthropic_url)


def _wait(header: str | None) -> dict[str, str]:
    return {
        "Retry-After": header
        if header and header.isdecimal() and len(header) < 5
        else str(DEFAULT_WAIT)
    }
