"""The style "clay": heads of a parametric mesh (package anny, Apache-2.0, on MakeHuman's CC0 data),
whose likeness no words can say.

What a caption can name (hair, eyes, mood, where the head turns) is painted and posed here; the
shape of the skull, nose, chin, mouth, cheeks and ears comes of `Person.face` alone, the number of
one of any number of people.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from fluxbooth.errors import InputError
from pretrain.people import (
    CLAY_HAIR,
    CLAY_MOODS,
    CLOTHES_COLOURS,
    EYES,
    HAIR_COLOURS,
    POSES,
    SKINS,
    Person,
    Shot,
)

CACHE = Path.home() / ".cache" / "fluxbooth-anny"  # 1.2 GB, made once in a minute
SUPERSAMPLING = 3
# 0: newborn, 2/3: grown up, 1: old
AGES = {"man": (0.55, 0.95), "woman": (0.5, 0.9), "boy": (0.2, 0.3), "girl": (0.2, 0.3)}
# from the left, the front and above
LIGHT = np.array([-0.45, -1.0, 0.55]) / np.linalg.norm([-0.45, -1.0, 0.55])
# local changes that make a face
SHAPED = ("nose", "head", "chin", "cheek", "mouth", "forehead", "ear-", "eyebrows", "eye-", "neck")


@dataclass(frozen=True)
class Mesh:
    """The body model, and which of its vertices are which."""

    model: Any
    triangles: np.ndarray  # n x 3
    head: np.ndarray  # bool by vertex, as all that follow
    eyes: tuple[np.ndarray, np.ndarray]
    ears: np.ndarray
    lips: np.ndarray
    tongue: np.ndarray
    local: tuple[str, ...]  # names of the shape changes that make a face


@functools.cache
def mesh() -> Mesh:
    if importlib.util.find_spec("anny") is None:
        raise InputError('Clay heads need the package anny: pip install "fluxbooth[mesh]".')
    os.environ.setdefault("ANNY_CACHE_DIR", str(CACHE))
    import anny
    import torch

    model = anny.Anny(local_changes="default", facial_actions="all").to(dtype=torch.float32)
    bones = list(model.bone_labels)
    moved_by = np.zeros((len(model.vertex_bone_weights), len(bones)))
    np.put_along_axis(
        moved_by, np.asarray(model.vertex_bone_indices), np.asarray(model.vertex_bone_weights), 1
    )
    left, right = (moved_by[:, bones.index(f"eye.{side}")] > 0.5 for side in "LR")
    plain = _pose(model, {}, {}, {})

    def changed(
        local: tuple[str, ...] = (), actions: tuple[str, ...] = (), share: float = 0.25
    ) -> np.ndarray:
        """What a change moves by more than a `share` of the farthest."""
        moved = np.linalg.norm(
            _pose(model, {}, dict.fromkeys(local, 1.0), dict.fromkeys(actions, 1.0)) - plain, axis=1
        )
        return moved > share * moved.max()

    return Mesh(
        model,
        triangles=np.asarray(model.faces),
        head=moved_by[:, bones.index("head")] > 0.3,
        eyes=(left, right),
        ears=changed(("l-ear-scale-incr", "r-ear-scale-incr"), share=0.12),
        lips=changed(("mouth-lowerlip-volume-incr", "mouth-upperlip-volume-incr")),
        tongue=changed(actions=("tongueOut",)),
        local=tuple(
            name
            for name in model.local_change_labels
            if any(part in name for part in SHAPED) and "measure" not in name
        ),
    )


def draw(
    person: Person, shot: Shot, picture: Image.Image, box: tuple[float, float, float, float]
) -> None:
    """Paints head and shoulders onto the picture; `box`: the square that holds the head and
    what hair it has, in pixels."""
    v, colours, _ = _modelled(person, shot)
    _paint(v, mesh().triangles, colours, picture, box)


def parts(
    person: Person,
    shot: Shot,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
) -> Image.Image:
    """What `draw` shows of hair (in the red channel), skin (green) and clothes (blue): RGB, 255
    where a pixel is covered by it."""
    v, _, part = _modelled(person, shot)
    picture = Image.new("RGB", size)
    _paint(v, mesh().triangles, 255.0 * np.eye(3)[part], picture, box, lit=False)
    return picture


def _modelled(person: Person, shot: Shot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices n x 3 as `_paint` takes them, and of each triangle its colour (m x 3) and its part
    (m: 0 hair, 1 skin, 2 clothes)."""
    body = mesh()
    v = _vertices(body, person, shot)
    left, right = (v[eye].mean(0) for eye in body.eyes)
    eyes, head = (left + right) / 2, v[body.head]
    top, bottom, back = head[:, 2].max(), head[:, 2].min(), head[:, 1].max()
    height = top - bottom
    colours = _coloured(body, v, person, height)
    dressed = ~body.head & (
        v[:, 2] < bottom - (0.02 if shot.clothes == "turtleneck" else 0.16) * height
    )
    scalp = _scalp(
        body, person, (v[:, 2] - eyes[2]) / (top - eyes[2]), (v[:, 1] - eyes[1]) / (back - eyes[1])
    )
    v = v + _normals(v, body.triangles) * (scalp * CLAY_HAIR[person.hair] * height)[:, None]
    faces = colours[body.triangles].mean(1)
    part = np.ones(len(faces), int)
    part[dressed[body.triangles].sum(1) > 1] = 2
    part[scalp[body.triangles].any(1)] = 0
    faces[part == 2] = _rgb(CLOTHES_COLOURS[shot.clothes_colour])
    faces[part == 0] = _rgb(HAIR_COLOURS[person.hair_colour])
    nod = random.Random(f"nod {person.face} {shot.scale}").uniform(-0.1, 0.1)
    turn = _turned(POSES[shot.pose], nod)
    middle = np.array([0.0, (head[:, 1].min() + back) / 2, bottom + 0.25 * height])
    return (v - middle) @ turn.T * (0.52 / height), faces, part


def _coloured(body: Mesh, v: np.ndarray, person: Person, height: float) -> np.ndarray:
    """Of each vertex, n x 3, without hair and clothes; `height`: of the head."""
    skin = _rgb(SKINS[person.skin])
    hair = _rgb(HAIR_COLOURS[person.hair_colour])
    colours = np.broadcast_to(skin, v.shape).copy()
    colours[body.lips] = 0.8 * skin + (20, -8, -4)
    colours[body.tongue] = (130, 35, 40)
    left, right = (v[eye].mean(0) for eye in body.eyes)
    eyes = (left + right) / 2
    brow = (
        body.head
        & (abs(v[:, 2] - eyes[2] - 0.09 * height) < 0.017 * height)
        & (v[:, 1] < eyes[1] + 0.12 * height)
    )
    colours[brow & (abs(v[:, 0]) > 0.05 * height) & (abs(v[:, 0]) < 0.25 * height)] = 0.75 * hair
    for eye, centre in zip(body.eyes, (left, right), strict=True):
        # 1 in the middle of the pupil
        ahead = -(v[eye] - centre)[:, 1] / np.linalg.norm(v[eye] - centre, axis=1)
        colours[eye] = np.where(
            (ahead > 0.95)[:, None],
            8.0,
            np.where((ahead > 0.78)[:, None], _rgb(EYES[person.eyes]), 245.0),
        )
    return colours


def _vertices(body: Mesh, person: Person, shot: Shot) -> np.ndarray:
    who = random.Random(f"face {person.face} {person.kind}")
    male = person.kind in ("man", "boy")
    shape = {
        "gender": who.uniform(0, 0.15) if male else who.uniform(0.85, 1),
        "age": who.uniform(*AGES[person.kind]),
    }
    shape |= {name: who.uniform(0.3, 0.7) for name in ("muscle", "weight", "height", "proportions")}
    local = {}
    for name in body.local:
        if not name.startswith("r-"):
            local[name] = who.uniform(-0.6, 0.6) * (
                0.3 if "trans" in name or "angle" in name else 1
            )
        if name.startswith("l-"):
            local["r-" + name[2:]] = local[name]  # faces are symmetric
    known = set(body.model.facial_action_labels)
    muscles = {
        full: strength
        for name, strength in CLAY_MOODS[shot.mood].items()
        for full in (name, f"{name}Left", f"{name}Right")
        if full in known
    }
    return _pose(body.model, shape, local, muscles)


def _pose(
    model: Any, shape: dict[str, float], local: dict[str, float], muscles: dict[str, float]
) -> np.ndarray:
    """Vertices, n x 3: to the right of the picture, to the back, up; in metres."""
    import torch

    still = torch.eye(4)[None, None].repeat(1, model.bone_count, 1, 1)
    whole = dict.fromkeys(model.phenotype_labels, 0.5) | shape
    with torch.inference_mode():
        made = model(
            pose_parameters=still,
            phenotype_kwargs=whole,
            local_changes_kwargs=local,
            facial_actions=muscles,
        )
    return made["vertices"][0].numpy().astype(np.float64)


def _scalp(body: Mesh, person: Person, up: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Where hair grows: `up` is 0 at the eyes and 1 at the top of the head, `back` 0 at the
    eyes and 1 at the back."""
    if person.hair == "a bald head":
        return np.zeros(len(up), bool)
    low = -1.2 if person.hair == "a bob" else -0.35
    hairline = 0.55 + 0.25 * np.cos(np.clip(back, -1, 1) * math.pi)
    scalp = ((up > np.maximum(hairline, 0.3)) & (back > -0.6)) | ((back > 0.42) & (up > low))
    return body.head & scalp & ~(body.eyes[0] | body.eyes[1] | body.ears)


def _normals(v: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Of unit length, by vertex: the mean of those of its triangles, by their area."""
    a, b, c = (v[triangles[:, k]] for k in range(3))
    across, normals = np.cross(b - a, c - a), np.zeros_like(v)
    for k in range(3):
        for axis in range(3):
            normals[:, axis] += np.bincount(triangles[:, k], across[:, axis], len(v))
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)


def _turned(yaw: float, pitch: float) -> np.ndarray:
    """The rotation, 3 x 3, of a head that looks to the picture's right by `yaw` and up by
    `pitch`, in radians."""
    c, s, d, t = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    return np.array([[1, 0, 0], [0, d, -t], [0, t, d]]) @ np.array(
        [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    )


def _paint(
    v: np.ndarray,
    triangles: np.ndarray,
    colours: np.ndarray,
    picture: Image.Image,
    box: tuple[float, float, float, float],
    lit: bool = True,
) -> None:
    """Triangles n x 3 of the colours n x 3 onto the picture, from the back to the front: each is
    too small to cut another.

    `v` is 0 in the middle of the box and 1 wide across it; `lit`: those that look away from the
    light are darker.
    """
    left, top, right, bottom = (edge * SUPERSAMPLING for edge in box)
    x = (left + right) / 2 + v[:, 0] * (right - left)
    y = (top + bottom) / 2 - v[:, 2] * (right - left)
    light = 0.5 + 0.6 * np.clip((_normals(v, triangles) @ LIGHT)[triangles].mean(1), 0, 1)
    points = np.stack([x, y], 1)[triangles]
    a, b = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    seen = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0) & (
        points[:, :, 1].min(1) < picture.height * SUPERSAMPLING
    )
    fills = (colours * light[:, None] if lit else colours).clip(0, 255).astype(int)
    layer = Image.new("RGBA", (picture.width * SUPERSAMPLING, picture.height * SUPERSAMPLING))
    brush = ImageDraw.Draw(layer)
    for i in np.argsort(-v[triangles, 1].mean(1)):
        if seen[i]:
            brush.polygon(points[i].ravel().tolist(), fill=(*fills[i].tolist(), 255))
    layer = layer.resize(picture.size, Image.Resampling.BOX)
    picture.paste(layer, (0, 0), layer)


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)
