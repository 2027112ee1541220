"""The training pictures, rendered once into shards on disk, and read back as memory maps.

A shard is `NNN-WxH.npy` (uint8, n x H x W x 3) beside `NNN-WxH.json` (who and how, one row a
picture). Its pictures share one shape, so that a batch drawn from it does too. Captions are not
stored: a row phrases them anew at each use.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pretrain import faces, things
from pretrain.parts import parts
from pretrain.renders import SHAPES, Row, from_json, to_json, training_row

SHARD = 400


@dataclass(frozen=True)
class Shard:
    pictures: np.ndarray
    rows: list[Row]
    path: Path


def render_all(folder: Path, count: int, workers: int) -> Iterator[tuple[int, int]]:
    """Render what is missing of `count` pictures; yields (shards done, shards in all)."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = _shapes(count // SHARD)
    todo = [
        (folder, i, shape)
        for i, shape in enumerate(shapes)
        if not _shard_path(folder, i, shape).exists()
    ]
    done = len(shapes) - len(todo)
    yield done, len(shapes)
    if not todo:
        return
    things.install()
    faces.mesh()  # its cache is made here, once, not by every worker
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(_render_shard, todo):
            done += 1
            yield done, len(shapes)


def label_all(shards: list[Shard], folder: Path, workers: int) -> Iterator[tuple[int, int]]:
    """Make what is missing of the parts of each picture, as `pretrain.parts` tells them, in files
    named like the shards; yields (shards done, shards in all)."""
    folder.mkdir(parents=True, exist_ok=True)
    todo = [shard for shard in shards if not (folder / shard.path.name).exists()]
    done = len(shards) - len(todo)
    yield done, len(shards)
    if not todo:
        return
    jobs = [(shard.rows, shard.pictures.shape[1:3], folder / shard.path.name) for shard in todo]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(_label_shard, jobs):
            done += 1
            yield done, len(shards)


def load(folder: Path) -> list[Shard]:
    shards = []
    for path in sorted(folder.glob("*-*x*.npy")):
        rows = json.loads(path.with_suffix(".json").read_text())
        shards.append(Shard(np.load(path, mmap_mode="r"), [from_json(*row) for row in rows], path))
    return shards


def _shapes(shards: int) -> list[tuple[int, int]]:
    """The shape of each shard, spread evenly by share, so that any prefix has about the right
    mix."""
    owed = dict.fromkeys(SHAPES, 0.0)
    result = []
    for _ in range(shards):
        for shape, share in SHAPES.items():
            owed[shape] += share
        best = max(owed, key=lambda shape: owed[shape])
        owed[best] -= 1
        result.append(best)
    return result


def _shard_path(folder: Path, index: int, shape: tuple[int, int]) -> Path:
    return folder / f"{index:03d}-{shape[0]}x{shape[1]}.npy"


def _render_shard(job: tuple[Path, int, tuple[int, int]]) -> None:
    folder, index, (width, height) = job
    rng = random.Random(f"shard {index}")
    rows = [training_row(rng) for _ in range(SHARD)]
    pictures = np.stack([np.asarray(row.draw(width, height, rng)) for row in rows])
    path = _shard_path(folder, index, (width, height))
    path.with_suffix(".json").write_text(json.dumps([to_json(row) for row in rows]))
    _save(path, pictures)


def _label_shard(job: tuple[list[Row], tuple[int, int], Path]) -> None:
    rows, (height, width), path = job
    _save(path, np.stack([parts(row, width, height) for row in rows]))


def _save(path: Path, array: np.ndarray) -> None:
    """A file that exists is whole."""
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.save(file, array)
    temporary.rename(path)
