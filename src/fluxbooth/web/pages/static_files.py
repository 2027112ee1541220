"""Scripts, styles and covers, at addresses that change with what they hold: a browser keeps them
for a year, and asks anew as soon as one of them is another."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parents[1] / "static"
PLAIN = "/app/static"
KEPT = "public, max-age=31536000, immutable"


def _digest() -> str:
    """Of all files together: scripts name one another without it, and are kept together."""
    whole = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            whole.update(str(path.relative_to(FOLDER)).encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:16]


ADDRESS = f"{PLAIN}/{_digest()}"


class Kept(StaticFiles):
    """The folder's files, each with word that it never changes."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER)

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = KEPT
        return answer
