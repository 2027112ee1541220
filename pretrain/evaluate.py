"""The figures of nano's model card: `python -m pretrain.evaluate --work DIR`, with contact sheets to look at.

200 captions of held-out people and clothes are drawn and read back; a LoRA is trained for each of the first held-out people.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from PIL import Image

from fluxbooth import GenerateSpec, TrainSpec, generate, likeness, photocheck, train
from fluxbooth.models import NANO
from pretrain import vae
from pretrain.__main__ import Work
from pretrain.reader import answer, said
from pretrain.renders import HELD_OUT, Person, Shot, background_words, caption, clothes_words, random_shot, render

Rows = dict[str, list[bool]]


def held_out_people() -> list[Person]:
    return [Person(**row) for row in HELD_OUT["people"]]


def captions_right(count: int, guidance: float, sheet: Path) -> dict[str, float]:
    """Share of the attributes that a caption names which a picture drawn from it shows, by attribute."""
    rng, reader = random.Random("held-out captions"), likeness.load_reader()
    people = held_out_people()
    rows: Rows = defaultdict(list)
    images = []
    for number in range(count):
        person = people[number % len(people)]
        shot = random_shot(rng, person.style)
        text, named = full_caption(person, shot, rng)
        image = generate([text], GenerateSpec(seed=number, guidance=guidance))[0].image
        images.append(image)
        reading = reader.read([image])[0]
        for name, value in named.items():
            rows[name].append(reading[name] == value)
        print(f"captions {number + 1}/{count}", file=sys.stderr, flush=True)
    grid(images[:48], 8).save(sheet)
    print(f"captions right: {_shares(rows)}", file=sys.stderr, flush=True)
    return _shares(rows)


def full_caption(person: Person, shot: Shot, rng: random.Random) -> tuple[str, dict[str, str]]:
    """A caption that names everything but the skin's and the drawing's fine points, and what it names."""
    while True:
        text = caption(person, shot, rng)
        named = said(person, shot, text)
        if len(named) >= 6:
            return text, named


def identity_learnt(people: Sequence[Person], sheet: Path) -> dict[str, float]:
    """Identity and prompt right after a LoRA on eight plain-captioned pictures of each person, and without it."""
    reader, rng = likeness.load_reader(), random.Random("identity")
    rows: Rows = defaultdict(list)
    images: list[Image.Image] = []
    for number, person in enumerate(people):
        texts, wishes = zip(*(new_prompt(person, rng) for _ in range(16)), strict=True)
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder) / "photos"
            photos.mkdir()
            for i in range(8):
                render(person, random_shot(rng, person.style), 384, 384, rng).save(photos / f"{i}.png")
            lora = train(photos, TrainSpec(class_name=person.kind), Path(folder) / "run").lora
            with_lora = [p.image for p in generate(texts, GenerateSpec(seed=number, guidance=3.0, loras=(str(lora),)))]
            images += [Image.fromarray(p.pixels).resize((128, 128)) for p in photocheck.read(photos)] + with_lora[:8]
        without = [p.image for p in generate(texts, GenerateSpec(seed=number, guidance=3.0))]
        identity = {name: getattr(person, name) for name in likeness.IDENTITY}
        for arm, pictures in (("with LoRA", with_lora), ("without", without)):
            for reading, wish in zip(reader.read(pictures), wishes, strict=True):
                rows[f"identity {arm}"] += [reading[k] == v for k, v in identity.items()]
                rows[f"prompt {arm}"] += [reading[k] == v for k, v in wish.items()]
        print(f"identity {number + 1}/{len(people)}: {_shares(rows)}", file=sys.stderr, flush=True)
    grid(images, 8).save(sheet)
    return _shares(rows)


def new_prompt(person: Person, rng: random.Random) -> tuple[str, dict[str, str]]:
    """Clothes, mood and place in words, and what they should show; no word about the person."""
    shot = random_shot(rng, person.style)
    text = f"ohwx {person.kind} wearing {clothes_words(shot)}, {shot.mood}, {background_words(shot, rng)}"
    truth = answer(person, shot)
    return text, {name: truth[name] for name in ("clothes", "clothes_colour", "mood", "background")}


def grid(images: Sequence[Image.Image], columns: int) -> Image.Image:
    sheet = Image.new("RGB", (columns * 132, -(-len(images) // columns) * 132), "white")
    for i, image in enumerate(images):
        sheet.paste(image, ((i % columns) * 132, (i // columns) * 132))
    return sheet


def _shares(rows: Rows) -> dict[str, float]:
    shares = {name: round(sum(hits) / len(hits), 4) for name, hits in rows.items()}
    return shares | {"all": round(sum(map(sum, rows.values())) / sum(map(len, rows.values())), 4)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pretrain.evaluate", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the pre-training; sheets and figures go there")
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--people", type=int, default=10)
    arguments = parser.parse_args()
    work = Work(arguments.work)
    _, held_out = work.shards()
    autoencoder = AutoencoderKL.from_pretrained(NANO / "vae", torch_dtype=torch.float32).eval()
    figures = {
        "autoencoder, held-out pictures, dB": round(vae.psnr(autoencoder, held_out.pictures[:100]), 2),
        "captions right": captions_right(arguments.captions, 3.0, work.folder / "captions.png"),
        "identity": identity_learnt(held_out_people()[: arguments.people], work.folder / "identity.png"),
    }
    (work.folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
