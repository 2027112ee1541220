"""Faster ways to the same, or nearly the same, picture."""

from __future__ import annotations

import numpy as np
import pytest

from fluxbooth import GenerateSpec, generate
from fluxbooth.generation import speedups
from fluxbooth.lora.inference import AdapterCache
from fluxbooth.models import loader

TEXT = "a man with glasses, at the beach"


def test_fast_skips_blocks_says_so_and_leaves_the_base_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speedups, "THRESHOLD", 0.4)  # so that few steps do
    family, worked = loader.load("nano", dtype="float32"), []
    # inside the last block: the block itself is called, but passes on, when it is skipped
    family.pipeline().transformer.single_transformer_blocks[-1].proj_out.register_forward_hook(
        lambda *_: worked.append(1)
    )
    exact, fast, again = (
        generate([TEXT], GenerateSpec(base="nano", steps=8, seed=3, speed=speed), family=family)[0]
        for speed in ("exact", "fast", "exact")
    )
    assert 16 < len(worked) < 24  # eight, fewer than eight, eight
    difference = np.abs(
        np.asarray(fast.image).astype(int) - np.asarray(exact.image).astype(int)
    ).mean()
    assert difference > 0
    assert np.array_equal(np.asarray(exact.image), np.asarray(again.image))
    assert fast.metadata["speed"] == "fast"
    assert "speed" not in exact.metadata


def test_a_large_picture_is_decoded_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    family = loader.load("nano", dtype="float32")
    spec = GenerateSpec(base="nano", steps=1, seed=3)
    tiled = []
    autoencoder = family.pipeline().vae
    decode = autoencoder.tiled_decode
    monkeypatch.setattr(
        autoencoder,
        "tiled_decode",
        lambda *arguments, **named: tiled.append(1) or decode(*arguments, **named),
    )
    whole = generate([TEXT], spec, family=family)[0]
    assert not tiled
    monkeypatch.setattr(speedups, "TILED_ABOVE", 128 * 128 - 1)
    in_tiles = generate([TEXT], spec, family=family)[0]
    assert tiled
    assert (
        np.abs(np.asarray(whole.image).astype(int) - np.asarray(in_tiles.image).astype(int)).mean()
        < 20
    )
    assert not autoencoder.use_tiling


def test_a_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    family = loader.load("nano", dtype="float32")
    cache = AdapterCache()
    spec = GenerateSpec(base="nano", steps=1, seed=3)
    encoded = []
    encode = family.encode_text
    monkeypatch.setattr(
        family, "encode_text", lambda texts, length: encoded.append(texts) or encode(texts, length)
    )
    first, other, again = (
        generate([text], spec, family=family, cache=cache)[0] for text in (TEXT, "a woman", TEXT)
    )
    assert encoded == [[TEXT], ["a woman"]]
    assert np.array_equal(np.asarray(first.image), np.asarray(again.image))
    assert not np.array_equal(np.asarray(first.image), np.asarray(other.image))
