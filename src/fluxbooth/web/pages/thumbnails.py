"""Small WebP copies for pages, made when they are first asked for and kept beside the file, so
that they are deleted with it."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from fastapi.responses import FileResponse
from PIL import Image

from fluxbooth import picture_files
from fluxbooth.errors import InputError
from fluxbooth.photos import inspection
from fluxbooth.service.errors import NotFound
from fluxbooth.service.files.store import Store

SIDE = 512  # pixels: a card on a dense screen
KEPT = {"Cache-Control": "private, max-age=86400"}


async def of_upload(
    store: Store, key: str, turn: AbstractAsyncContextManager[object]
) -> FileResponse:
    """Of a stranger's photo, which only the separate process decodes, in its turn."""
    path, small = store.path(key), store.path(key).with_suffix(".thumb.webp")
    if not small.is_file():
        async with turn:
            await asyncio.to_thread(_decode_apart, store, path, small)
    return FileResponse(small, media_type="image/webp", headers=KEPT)


def of_picture(store: Store, key: str) -> FileResponse:
    """Of a picture that we made."""
    path, small = store.path(key), store.path(key).with_suffix(".thumb.webp")
    if not path.is_file():
        raise NotFound
    if not small.is_file():
        with Image.open(path) as picture:
            write(store, picture, small)
    return FileResponse(small, media_type="image/webp", headers=KEPT)


def whole(store: Store, key: str) -> FileResponse:
    """A picture that we made, as it is."""
    if not store.path(key).is_file():
        raise NotFound
    return FileResponse(store.path(key), media_type="image/jpeg", headers=KEPT)


def write(store: Store, picture: Image.Image, target: Path) -> None:
    """NotFound if the picture was deleted meanwhile."""
    small, source = picture.convert("RGB"), picture_files.source_in(picture)
    small.thumbnail((SIDE, SIDE))
    unfinished = store.incoming / f"{secrets.token_hex(8)}.webp"
    try:
        picture_files.save(small, unfinished, source, quality=82)
        unfinished.rename(target)
    except FileNotFoundError:
        raise NotFound from None
    finally:
        unfinished.unlink(missing_ok=True)


def _decode_apart(store: Store, path: Path, small: Path) -> None:
    if small.is_file():  # made while this one waited
        return
    if not path.is_file():
        raise NotFound
    try:
        photos = inspection.read([path], max_pixels=SIDE * SIDE)
    except InputError as error:
        raise NotFound from error
    write(store, Image.fromarray(photos[0].pixels), small)
