"""Files of pictures that were made or changed with AI, or by plain algorithms, and say so:
`DigitalSourceType` of the IPTC, in XMP, which search engines, editors and archives read."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from fluxbooth.errors import InputError
from fluxbooth.files import write_whole
from fluxbooth.types import Json

CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{CODES}trainedAlgorithmicMedia"  # drawn of nothing but words
EDITED = f"{CODES}compositeWithTrainedAlgorithmicMedia"  # a picture that was there, drawn on
ALTERED = f"{CODES}algorithmicallyEnhanced"  # one that was there, and nothing drawn: larger, grain
_SOURCES = (EDITED, GENERATED, ALTERED)
_DRAWN = ("people", "outpaint", "hires_fix", "faces")  # steps that draw
_PNG_XMP = "XML:com.adobe.xmp"  # the name of the text in which a PNG holds XMP
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    "{}/>"
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


_SOURCE = ' Iptc4xmpExt:DigitalSourceType="{}"'
# which base drew it, so that what looks for parts of a picture knows the kind of picture it is
_BASE = ' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="fluxbooth {}"'
_NAME = r"[\w.-]{1,64}"
_SAID = re.compile(rf'xmp:CreatorTool="fluxbooth ({_NAME})"'.encode())
# what a PNG of an earlier version says, in its recipe; of a picture that began as another, what
# drew that is not known
_SAID_BEFORE = re.compile(rf'{{"version": "[^"]*", "base": "({_NAME})"'.encode())
_BEGAN = b'"input": {"sha256"'


def source_of(recipe: Json) -> str:
    """By the recipe of a picture. One of which nothing was drawn stays what it said it was, if it
    said so."""
    given = recipe.get("input")
    if given is None:
        return EDITED if "references" in recipe else GENERATED
    drawn = given["strength"] > 0 or any(
        step["step"] in _DRAWN and step.get("drawn", 1) for step in recipe.get("enhanced", ())
    )
    return EDITED if drawn else given.get("source", ALTERED)


def base_of(recipe: Json) -> str | None:
    """The base that drew a picture, by its recipe; of one that was there and changed in part, what
    drew that, if it is known."""
    given = recipe.get("input")
    if given and (given["strength"] == 0 or given["masked"]):
        return given.get("drawn_by")
    return recipe.get("base")


def save(
    image: Image.Image,
    path: str | Path,
    source: str | None = GENERATED,
    *,
    texts: Mapping[str, str] | None = None,
    base: str | None = None,
    **how: Any,
) -> None:
    """Writes a picture that says where it comes from; without a source, it says nothing.

    PNG, JPEG or WebP, as the name ends; whole or not at all, for Pillow itself does not look how
    much of a JPEG the system wrote. `texts` are kept in a PNG by name, `base` is the name of what
    drew it, `how` is for Pillow's encoder. InputError for a name with another ending, OSError if it
    cannot be written.
    """
    said = _SOURCE.format(source) if source else ""
    said += _BASE.format(base) if base and re.fullmatch(_NAME, base) else ""
    packet, held = _PACKET.format(said) if said else "", io.BytesIO()
    kind = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(
        Path(path).suffix.lower()
    )
    if kind is None:
        raise InputError(f"{path} is no name for a picture: end it in .png, .jpg or .webp.")
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        for name, text in {_PNG_XMP: packet, **(texts or {})}.items():
            if text:
                info.add_itxt(name, text)
        image.save(held, kind, pnginfo=info, **how)
    else:
        image.save(held, kind, xmp=packet.encode(), **how)
    write_whole(Path(path), held.getvalue())


def source_in(image: Image.Image) -> str | None:
    """What a picture that was opened from such a file says; None for any other."""
    return source_said(image.info.get("xmp", b""))


def source_said(data: bytes) -> str | None:
    """What a file of any kind says, which need not be ours; its pictures are not decoded."""
    return next((code for code in _SOURCES if code.encode() in data), None)


def base_said(data: bytes) -> str | None:
    """The base that drew what is in a file of ours, of any kind; it is not decoded."""
    found = _SAID.search(data) or (None if _BEGAN in data else _SAID_BEFORE.search(data))
    return found[1].decode() if found else None


def recipe_said(data: bytes) -> Json | None:
    """The recipe in a PNG of ours, which is not decoded; None for all others."""
    mark = b"iTXtfluxbooth" + bytes(5)  # not compressed, in no language
    at = data.find(mark)
    if at < 4:
        return None
    length = int.from_bytes(data[at - 4 : at])
    try:
        return json.loads(data[at + len(mark) : at + 4 + length])
    except ValueError:  # cut off, or not ours
        return None


def on_white(image: Image.Image) -> Image.Image:
    """RGB of any picture, transparent or not."""
    if image.mode != "RGBA":
        return image.convert("RGB")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    return white
