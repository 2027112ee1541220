"""What work needs from elsewhere before it asks for a device: pictures that it knows by address
alone, counted as they arrive, and longer texts.

What arrived stays, so that an engine which was killed goes on with the next.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

from fluxbooth.errors import InputError
from fluxbooth.photos import inspection
from fluxbooth.service.outgoing.fetch import Fetched, FetchError, FetchRules, fetch
from fluxbooth.service.prompts import expansion, input_images
from fluxbooth.service.safety import REFUSED, Judge
from fluxbooth.service.transitions import Transitions

WITHIN = 300.0  # seconds for all pictures of a job together


def photos(results: Transitions, number: int, rules: FetchRules, within: float = WITHIN) -> None:
    """The photos of a tune, one after another, as long as somebody waits for it.

    Raises FetchError naming the address that does not give one within the rules and the seconds;
    InputError for a photo that is not taken; ServiceError where the account has no room for it.
    """
    get, judge = _before(time.monotonic() + within, within, rules), Judge(results.settings)
    for photo, url in results.photos_to_fetch(number):
        if not results.tune_wanted(number):
            return
        there = results.store.incoming / f"tune-{number}-{photo}"
        try:
            get(url, there)
            _look(there, judge, url)
            results.photo_fetched(number, photo, there, judge)
        finally:
            there.unlink(missing_ok=True)


def input_pictures(
    results: Transitions, number: int, rules: FetchRules, within: float = WITHIN
) -> None:
    """The pictures that a prompt starts from, and its longer text where that is asked for.

    Raises as `photos`, and InputError for what is no picture, and where Claude has no answer.
    """
    if prompt := results.prompt_to_fetch_for(number):
        judge = Judge(results.settings)
        made = input_images.fetch_missing(
            prompt, results.store, _before(time.monotonic() + within, within, rules), judge
        )
        try:
            results.inputs_fetched(number, made, judge)
        finally:
            for path in made.values():
                path.unlink(missing_ok=True)

    if told := results.text_to_expand(number):
        text, triggers = told
        longer = expansion.expanded(results.settings, text, triggers) if text else ""
        results.text_expanded(number, longer)


def _look(photo: Path, judge: Judge, url: str) -> None:
    """Raises InputError for a photo that is not taken. Whether it can be read, training says."""
    if judge.settings.safety != "off":
        (reason,), _ = inspection.look([photo], 1.0, judge)
        if reason == REFUSED:
            raise InputError(f"The photo at {url} {reason}")


def _before(deadline: float, within: float, rules: FetchRules) -> Callable[[str, Path], Fetched]:
    """`fetch`, with no more than the time that is left for all."""

    def get(url: str, target: Path) -> Fetched:
        left = deadline - time.monotonic()
        if left <= 0:
            why = f"more than {within:g} seconds"
            raise FetchError(
                (
                    f"The pictures took longer than {within:g} seconds together: use a faster "
                    "host, or send files."
                ),
                why,
            )
        return fetch(url, target, dataclasses.replace(rules, seconds=min(rules.seconds, left)))

    return get
