"""How well the identity embedding tells individuals apart: `python -m pretrain.embedding_figures`
writes its table into bench/results/measures.json and docs/likeness.md.

On individuals, colours and one drawing style that it never met; on renders of the held-out people,
found by the finder of heads as in use; and on nano's own drawings of these people from captions
that say all of them, where the attribute reader agrees that they were drawn so, and all.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench import machine, measures
from fluxbooth import GenerateSpec, generate
from fluxbooth.evaluation import likeness
from fluxbooth.evaluation.identity import Identity, load_identity
from fluxbooth.evaluation.subjects import area_under_curve
from fluxbooth.models.attribute_reader import load_reader
from fluxbooth.models.flux1.bases import HEADS, IDENTITY
from pretrain import identities, people, words
from pretrain.embedding import embedded, similarities
from pretrain.renders import Portrait
from pretrain.subjects import held_out_people

COLUMNS = (
    "AUC, another", "AUC, a lookalike", "the right one of all", "the same told so",
    "another told the same",
)  # fmt: skip
FAMILIES = 24  # of each kind of unseen individuals
PEOPLE = len(held_out_people())
PHOTOS, DRAWINGS = 8, 3  # of each held-out person
STEPS = 16  # of a drawing


def of_families(
    identity: Identity, style: str | None, unseen: bool, count: int
) -> dict[str, float]:
    pictures = np.stack(
        [
            np.stack(
                [
                    np.stack([identities.stored(who, rng) for _ in range(identities.PICTURES)])
                    for who in identities.family(f"examined {i}", style, unseen)
                ]
            )
            for i in range(count)
            for rng in [random.Random(f"examined pictures {i}")]
        ]
    )
    same, other, alike = similarities(embedded(identity.network, pictures))
    return {
        "number": same.numel(),
        "AUC, another": round(area_under_curve(same.tolist(), other.tolist()), 4),
        "AUC, a lookalike": round(area_under_curve(same.tolist(), alike.tolist()), 4),
        "the same told so": round(float((same >= identity.even).float().mean()), 4),
        "another told the same": round(float((other >= identity.even).float().mean()), 4),
    }


def of_people(
    identity: Identity, pictures: Sequence[Sequence[Image.Image]], photos: Sequence[torch.Tensor]
) -> dict[str, float]:
    """Pictures of each person against the photos of each."""
    near = [
        [[identity.similarity(picture, subject) for subject in photos] for picture in rows]
        for rows in pictures
    ]
    same = [row[i] for i, rows in enumerate(near) for row in rows]
    other = [x for i, rows in enumerate(near) for row in rows for j, x in enumerate(row) if i != j]
    first = [float(np.argmax(row) == i) for i, rows in enumerate(near) for row in rows]
    return {
        "number": len(same),
        "AUC, another": round(area_under_curve(same, other), 4),
        "the right one of all": round(float(np.mean(first)), 4),
        "the same told so": round(float((np.array(same) >= identity.even).mean()), 4),
        "another told the same": round(float((np.array(other) >= identity.even).mean()), 4),
    }


def renders(who: people.Person, count: int, seed: str) -> list[Image.Image]:
    rng = random.Random(seed)
    return [
        Portrait(who, people.random_shot(rng, who.style)).draw(128, 128, rng) for _ in range(count)
    ]


def drawings(who: people.Person, count: int, rng: random.Random) -> list[Image.Image]:
    texts = []
    for _ in range(count):
        shot = people.random_shot(rng, who.style)
        told = words.features(who, shot, 1.0, rng)
        texts.append(
            f"{words.DRAWING[who.style][1]} portrait of a {who.kind} with {', '.join(told)}, "
            f"wearing {words.clothes(shot)}, {shot.mood}, {words.place(shot.background, rng)}"
        )
    spec = GenerateSpec(base="nano", seed=rng.randrange(2**31), steps=STEPS)
    return [picture.image for picture in generate(texts, spec)]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pretrain.embedding_figures", description=__doc__
    )
    parser.add_argument("--embedding", type=Path, default=IDENTITY)
    parser.add_argument("--families", type=int, default=FAMILIES)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--drawings", type=int, default=DRAWINGS)
    arguments = parser.parse_args()
    examine(arguments.embedding, arguments.families, arguments.people, arguments.drawings)


def examine(
    embedding: Path, families: int = FAMILIES, count: int = PEOPLE, drawn: int = DRAWINGS
) -> None:
    """The table is written after each of its rows."""
    identity, unseen = load_identity(embedding, HEADS), identities.UNSEEN_STYLE
    chosen = held_out_people()[:count]
    photos = [identity.subject(renders(who, PHOTOS, f"photos {asdict(who)}")) for who in chosen]
    more = [renders(who, PHOTOS, f"more {asdict(who)}") for who in chosen]
    table = {"held-out people, renders": of_people(identity, more, photos)}
    keep(table)
    if drawn:
        rng = random.Random("drawings")
        pictures = [drawings(who, drawn, rng) for who in chosen]
        table["held-out people, drawn by nano from words"] = of_people(identity, pictures, photos)
        sure = right(pictures, chosen)
        table["of these, whom the reader reads as asked"] = of_people(identity, sure, photos)
        keep(table)
    for name, style, colours, share in (
        ("unseen individuals", None, False, 1),
        ("an unseen style in unseen colours", unseen, True, 1),
        ("unseen colours", None, True, 1),
        ("an unseen style", unseen, False, 1),
        ("unseen individuals of the mesh", "clay", False, 3),
    ):
        table[name] = of_families(identity, style, colours, families // share)
        keep(table)


def keep(table: Mapping[str, Mapping[str, float]]) -> None:
    row = {
        "machine": machine.described(1),
        "by": "python -m pretrain.embedding_figures",
        "columns": ["pictures of", "number", *COLUMNS],
        "rows": [
            [name, row["number"], *(row.get(column, "") for column in COLUMNS)]
            for name, row in table.items()
        ],
    }
    measures.keep("identity", row)


def right(
    drawn: Sequence[Sequence[Image.Image]], chosen: Sequence[people.Person]
) -> list[list[Image.Image]]:
    """The drawings of which the reader reads every attribute of their person."""
    reader = load_reader()
    return [
        [
            picture
            for picture, reading in zip(rows, reader.read(rows), strict=True)
            if all(reading[name] == getattr(who, name) for name in likeness.IDENTITY)
        ]
        for rows, who in zip(drawn, chosen, strict=True)
    ]


if __name__ == "__main__":
    main()
