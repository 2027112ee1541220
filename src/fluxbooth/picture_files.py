"""Files of pictures that were made or changed with AI, and say so: `DigitalSourceType` of the IPTC,
in XMP, which search engines, editors and archives read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from fluxbooth.files import save_jpeg
from fluxbooth.types import Json

CODES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED = f"{CODES}trainedAlgorithmicMedia"  # drawn of nothing but words
EDITED = f"{CODES}compositeWithTrainedAlgorithmicMedia"  # a picture that was there, changed
_PNG_XMP = "XML:com.adobe.xmp"  # the name of the text in which a PNG holds XMP
_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' Iptc4xmpExt:DigitalSourceType="{}"/>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def source_of(recipe: Json) -> str:
    """GENERATED or EDITED, by the recipe of a picture."""
    return EDITED if "input" in recipe else GENERATED


def save(
    image: Image.Image,
    path: str | Path,
    source: str | None = GENERATED,
    *,
    texts: Mapping[str, str] | None = None,
    **how: Any,
) -> None:
    """Writes a picture that says where it comes from; without a source, it says nothing.

    PNG, JPEG or WebP, as the name ends. `texts` are kept in a PNG by name, `how` is for Pillow's
    encoder. OSError if it cannot.
    """
    packet = _PACKET.format(source) if source else ""
    if Path(path).suffix.lower() == ".png":
        info = PngImagePlugin.PngInfo()
        for name, text in {_PNG_XMP: packet, **(texts or {})}.items():
            if text:
                info.add_itxt(name, text)
        image.save(path, pnginfo=info, **how)
    elif Path(path).suffix.lower() in (".jpg", ".jpeg"):
        save_jpeg(Path(path), image, xmp=packet.encode(), **how)
    else:
        image.save(path, xmp=packet.encode(), **how)


def source_in(image: Image.Image) -> str | None:
    """What a picture that was opened from such a file says; None for any other."""
    xmp = image.info.get("xmp", b"")
    return next((code for code in (EDITED, GENERATED) if code.encode() in xmp), None)
