"""What photos of one subject have in common that the subject has not: the same session, light,
distance. What every photo shows is learnt as part of the subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from PIL import Image

from fluxbooth.photos.face import Face

SESSION = 0.61  # of the colours of background, and of clothes, two photos of one session share
CELLS = 6  # a channel's, of a histogram
EDGE = 0.18  # of each side that is taken for background
SMALL = 96  # pixels a side of a photo that is only looked at
SAME_LIGHT = 8.0  # of 255, by which the brightness of photos deviates at least
CLOSE, FAR = 0.3, 0.14  # heights of a face, in photos', of a close-up and of a whole figure
MANY = 5  # photos of which something may be said as of a set


def sessions(photos: Sequence[np.ndarray]) -> list[list[int]]:
    """Groups of two and more, by index, whose backgrounds and clothes look alike; uint8 H x W x 3
    each."""
    looks = [_colours(pixels) for pixels in photos]
    group = list(range(len(photos)))
    for i, j in combinations(range(len(photos)), 2):
        if shared(looks[i], looks[j]) >= SESSION:
            old, new = group[j], group[i]
            group = [new if one == old else one for one in group]
    found = [[i for i, one in enumerate(group) if one == name] for name in sorted(set(group))]
    return [members for members in found if len(members) > 1]


def shared(a: np.ndarray, b: np.ndarray) -> float:
    """0 to 1: of the background's and of the clothes' colours what both have, the smaller."""
    return float(np.minimum(a, b).sum(1).min())


def _colours(pixels: np.ndarray) -> np.ndarray:
    """2 x CELLS^3: what share of the edges (background), and of the middle of the lower half
    (clothes), has which colour; soft between cells, so that a little light changes it a little."""
    small = Image.fromarray(pixels[:, :, :3]).resize((SMALL, SMALL), Image.Resampling.BOX)
    flat = np.asarray(small, dtype=np.float32) / 255 * (CELLS - 1)
    width = round(SMALL * EDGE)
    edge = np.ones((SMALL, SMALL), bool)
    edge[width:, width : SMALL - width] = False  # a figure stands on the lower edge
    clothes = flat[SMALL // 2 :, SMALL // 3 : -SMALL // 3].reshape(-1, 3)
    return np.stack([_histogram(flat[edge]), _histogram(clothes)])


def _histogram(colours: np.ndarray) -> np.ndarray:
    low = np.clip(np.floor(colours).astype(int), 0, CELLS - 2)
    part = colours - low
    found = np.zeros(CELLS**3, np.float32)
    for corner in range(8):
        bits = np.array([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        weight = np.where(bits, part, 1 - part).prod(1)
        np.add.at(found, ((low + bits) * [CELLS**2, CELLS, 1]).sum(1), weight)
    return found / len(colours)


def advice(
    names: Sequence[str], photos: Sequence[np.ndarray], faces: Sequence[Sequence[Face]] | None
) -> list[str]:
    """On the set as a whole, in plain words; `faces` are those of each photo, None where nobody
    looked for any."""
    said = [_of_session([names[i] for i in members], len(names)) for members in sessions(photos)]
    if len(photos) < MANY:
        return said
    light = [float(np.mean(pixels)) for pixels in photos]
    if np.std(light) < SAME_LIGHT:
        said.append("all have about the same light: add some of another time of day or place")
    if faces is not None:
        said += _on_faces(faces)
    return said


def _of_session(members: Sequence[str], count: int) -> str:
    who = "all photos" if len(members) == count else ", ".join(members)
    return (
        f"{who} look like one session (background and clothes alike): what they share is learnt "
        "with the subject; add photos of other days, or take fewer of these"
    )


def _on_faces(faces: Sequence[Sequence[Face]]) -> list[str]:
    """Nothing where fewer than half of the photos show a face: the subject is no person, then, or
    is seen from elsewhere."""
    largest = [found[0] for found in faces if found]
    if 2 * len(largest) <= len(faces):
        return []
    said = []
    if all(face.height < CLOSE for face in largest):
        said.append("no close-up of the face: add two or three, for they teach the likeness")
    if all(face.height > FAR for face in largest):
        said.append("no photo shows the whole figure: add one or two, or the body will be made up")
    if len(largest) == len(faces) and not any(face.turned for face in largest):
        said.append("every face looks into the camera: add one turned to a side")
    return said
