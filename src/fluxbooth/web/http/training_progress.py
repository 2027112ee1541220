"""How far a training is: as JSON, or as server-sent events until it is over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import cast

from fastapi import Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from fluxbooth.service.contract import responses
from fluxbooth.service.contract.response_models import Progress
from fluxbooth.service.db.tables import Account
from fluxbooth.service.tunes import tunes
from fluxbooth.web.http.params import row_id
from fluxbooth.web.state import Services


async def answer(number: str, request: Request, services: Services, account: Account) -> Response:
    """Events if the request accepts them; they also end when the server stops."""

    def look() -> Progress:
        with services.db.read() as session:
            tune = tunes.get(session, account, row_id(number))
            over = not tune.is_open
            shown = {
                "id": tune.id,
                "over": over,
                "trained_at": responses.time(tune.trained_at),
                "user_error": tune.user_error,
                **tune.progress,
            }
            return cast(Progress, shown)

    first = await asyncio.to_thread(look)
    if "text/event-stream" not in request.headers.get("accept", ""):
        return JSONResponse(first)

    async def events() -> AsyncIterator[str]:
        shown: Progress | None = None
        while True:
            state = await asyncio.to_thread(look)
            if state != shown:
                yield f"data: {json.dumps(state)}\n\n"
                shown = state
            if state["over"] or services.stopping.is_set() or await request.is_disconnected():
                return
            await asyncio.sleep(1)

    return StreamingResponse(
        events(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
