"""Draws the photos of the demo's subject, the first held-out person: `python -m
pretrain.demo_photos`."""

from __future__ import annotations

import random

from fluxbooth.evaluation.demo import PHOTOS
from pretrain.people import HELD_OUT, Person, Shot
from pretrain.renders import Portrait

SHOTS = (  # clothes and places that the demo's prompts do not ask for together
    (Shot("t-shirt", "grey", "smiling", "white", "centre", 1.0), (384, 384)),
    (Shot("blazer", "white", "serious", "blue", "centre", 1.05), (336, 432)),
    (Shot("hoodie", "green", "smiling", "room", "left", 0.95), (432, 336)),
    (Shot("t-shirt", "yellow", "surprised", "orange", "centre", 1.1), (384, 384)),
    (Shot("sweater", "blue", "winking", "grey", "right", 0.95), (384, 384)),
    (Shot("overalls", "red", "smiling", "desert", "centre", 1.0), (336, 432)),
    (Shot("t-shirt", "black", "sad", "yellow", "centre", 0.9), (384, 384)),
    (Shot("hoodie", "white", "angry", "pink", "left", 1.05), (384, 384)),
    (Shot("blazer", "red", "smiling", "beach", "right", 1.0), (432, 336)),
    (Shot("sweater", "purple", "serious", "green", "centre", 1.0), (384, 384)),
)


def main() -> None:
    person = Person(**HELD_OUT["people"][0])
    rng = random.Random("demo photos")
    PHOTOS.mkdir(exist_ok=True)
    for number, (shot, size) in enumerate(SHOTS, 1):
        Portrait(person, shot).draw(*size, rng).save(
            PHOTOS / f"photo-{number:02d}.png", optimize=True
        )


if __name__ == "__main__":
    main()
