"""nano in float32, as it draws anew."""

from __future__ import annotations

import pytest
from PIL import Image

from fluxbooth.generation.enhance.redraw import Redraw
from fluxbooth.generation.sampling import draw
from fluxbooth.lora.inference import AdapterCache
from fluxbooth.models import loader

TEXT = "a man with glasses, smiling, at the beach"
PLACE = "at the beach"


@pytest.fixture(scope="session")
def redraw() -> Redraw:
    family, cache = loader.load("nano", dtype="float32"), AdapterCache()
    texts = {text: cache.conditioning(text, family) for text in (TEXT, PLACE)}
    return Redraw(family, texts, TEXT, (), steps=8, guidance=3.5)


@pytest.fixture(scope="session")
def drawn(redraw: Redraw) -> Image.Image:
    return draw(redraw.family, redraw.texts[TEXT], [3], (128, 128), 8, 3.5)[0]
