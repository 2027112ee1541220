"""The figures of nano's model card: `python -m pretrain.evaluate --work DIR`, with contact sheets
to look at.

200 captions of held-out people and clothes are drawn and read back, by one pass a step and by two;
a LoRA is trained for each of the first held-out people. DIR needs its pictures, of which the last
shard is looked at.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, FluxPipeline
from PIL import Image

from fluxbooth import GenerateSpec, TrainSpec, generate, train
from fluxbooth.errors import InputError
from fluxbooth.models import loader
from fluxbooth.models.attribute_reader import Reader, load_reader
from fluxbooth.models.flux1.bases import NANO, READER
from fluxbooth.photos import inspection
from fluxbooth.training import flow
from pretrain import distill, self_distillation, things, vae
from pretrain.__main__ import Work
from pretrain.attributes import Answers
from pretrain.data import Shard
from pretrain.export import reader_accuracy
from pretrain.people import Person, Shot, random_person, random_shot
from pretrain.renders import Portrait, grown_up, training_row
from pretrain.subjects import held_out_people, subject
from pretrain.text import TEXT_LENGTH
from pretrain.transformer import Nano, batch_at

Rows = dict[str, list[bool]]
Draw = Callable[[str, int], Image.Image]  # of a text and a seed
GUIDANCE = 3.0


def captions_right(
    captions: Sequence[tuple[str, Answers]], draw: Draw, reader: Reader, sheet: Path
) -> dict[str, float]:
    """Share of the attributes that a caption names which a picture drawn from it shows, by
    attribute."""
    rows: Rows = defaultdict(list)
    images = []
    for number, (text, named) in enumerate(captions):
        image = draw(text, number)
        images.append(image)
        reading = reader.read([image])[0]
        for name, value in named.items():
            rows[name].append(reading[name] == value)
        print(f"{sheet.stem} {number + 1}/{len(captions)}", file=sys.stderr, flush=True)
    grid(images[:48], 8).save(sheet)
    print(f"{sheet.stem} right: {_shares(rows)}", file=sys.stderr, flush=True)
    return _shares(rows)


def one_pass(text: str, seed: int) -> Image.Image:
    return generate([text], GenerateSpec(base="nano", seed=seed, guidance=GUIDANCE))[0].image


def classifier_free(pipeline: FluxPipeline, text: str, seed: int) -> Image.Image:
    """Guided by the velocities of the caption and of none, both at strength 1, which in
    diffusers is called true CFG."""
    return pipeline(
        text,
        negative_prompt="",
        true_cfg_scale=GUIDANCE,
        guidance_scale=1.0,
        width=128,
        height=128,
        num_inference_steps=28,
        max_sequence_length=TEXT_LENGTH,
        generator=flow.generator(seed),
    ).images[0]


def held_out_captions(count: int, prose: bool = False) -> list[tuple[str, Answers]]:
    """Captions of the held-out people that name at least six attributes, and what each names."""
    rng, people = random.Random("held-out captions"), held_out_people()
    return [
        full_caption(who := people[i % len(people)], random_shot(rng, who.style), rng, prose)
        for i in range(count)
    ]


def full_caption(
    person: Person, shot: Shot, rng: random.Random, prose: bool
) -> tuple[str, Answers]:
    row = Portrait(person, shot)
    while True:
        text = row.caption(rng, prose)
        named = row.said(text)
        if len(named) >= 6:
            return text, named


def other_captions(count: int) -> list[tuple[str, Answers]]:
    """The same of what is no man or woman of the first two styles: children, personas, clay,
    hats, pairs, animals and objects."""
    rng = random.Random("other captions")
    found: list[tuple[str, Answers]] = []
    while len(found) < count:
        row = training_row(rng)
        text = row.caption(rng)
        named = row.said(text)
        if not grown_up(row) and len(named) >= (6 if isinstance(row, Portrait) else 2):
            found.append((text, named))
    return found


def learnt(kind: str, count: int, reader: Path, sheet: Path) -> dict[str, float]:
    """Identity and prompt right after a LoRA on eight plain-captioned pictures of each subject, and
    without it.

    Two subjects are learnt side by side, with one thread each, which takes half of the time that
    two threads for each would.
    """
    rows: Rows = defaultdict(list)
    images: list[Image.Image] = []
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        for number, (found, pictures) in enumerate(
            pool.map(partial(learn, kind, reader=reader), range(count))
        ):
            for name, hits in found.items():
                rows[name] += hits
            images += pictures
            print(f"{kind} {number + 1}/{count}: {_shares(rows)}", file=sys.stderr, flush=True)
    grid(images, 8).save(sheet)
    return _shares(rows)


def learn(kind: str, number: int, reader: Path) -> tuple[Rows, list[Image.Image]]:
    """What is read from sixteen pictures with and without the LoRA of one subject; its photos,
    and eight pictures with the LoRA."""
    chosen = subject(kind, number)
    rng = random.Random(f"{kind} {number}")
    network = load_reader(reader)
    texts, wishes = zip(*(chosen.prompt(rng) for _ in range(16)), strict=True)
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        photos.mkdir()
        for i in range(8):
            chosen.photo(rng).draw(384, 384, rng).save(photos / f"{i}.png")
        lora = train(
            photos, TrainSpec(class_name=chosen.class_name, base="nano"), Path(folder) / "run"
        ).lora
        with_lora = [
            p.image
            for p in generate(
                texts, GenerateSpec(base="nano", seed=number, guidance=GUIDANCE, loras=(str(lora),))
            )
        ]
        images = [
            Image.fromarray(p.pixels).resize((128, 128)) for p in inspection.read(photos)
        ] + with_lora[:8]
    without = [
        p.image for p in generate(texts, GenerateSpec(base="nano", seed=number, guidance=GUIDANCE))
    ]
    rows: Rows = {}
    for arm, pictures in (("with LoRA", with_lora), ("without", without)):
        readings = network.read(pictures)
        rows[f"identity {arm}"] = [
            reading[k] == v for reading in readings for k, v in chosen.identity.items()
        ]
        rows[f"prompt {arm}"] = [
            reading[k] == v
            for reading, wish in zip(readings, wishes, strict=True)
            for k, v in wish.items()
        ]
    return rows, images


def grown_ups(count: int) -> tuple[np.ndarray, list[Answers]]:
    """Pictures of men and women of the first two styles, and what they show: what the shipped
    reader knows."""
    rng = random.Random("grown-ups")
    people = [random_person(rng) for _ in range(count)]
    rows = [Portrait(who, random_shot(rng, who.style)) for who in people]
    return np.stack([np.asarray(row.draw(128, 128, rng)) for row in rows]), [
        row.answers() for row in rows
    ]


@torch.no_grad()
def residual(nano: Nano, held_out: Shard, latents: np.ndarray, batches: int) -> float:
    """What is left of the gap between one pass and nano's own two, for strengths 1 to 5 and
    sigmas from 0 to 1 alike."""
    rows = []
    for step in range(batches):
        batch, draw = batch_at(step, [held_out], [latents], prose=1.0), flow.generator(5, step)
        eps = torch.randn(batch.z.shape, generator=draw)
        sigma = flow.sample_sigma("uniform", len(eps), draw, 0.0)
        strength = distill.strengths(len(eps), draw)
        x = flow.interpolate(batch.z, eps, sigma)
        rows.append(
            self_distillation.velocities(
                nano, x, sigma, batch.captions, strength, batch.shape
            ).residual()
        )
    return round(sum(left.item() for left, _ in rows) / sum(gap.item() for _, gap in rows), 4)


def seconds_a_picture(count: int) -> float:
    """Of 128 x 128 in 28 steps from a base in memory, the median of `count` after a first that
    warms up."""
    base, seconds = loader.load("nano"), []
    for seed in range(count + 1):
        began = time.perf_counter()
        generate(
            ["man with a black bob"],
            GenerateSpec(
                base="nano", seed=seed, guidance=GUIDANCE, steps=28, width=128, height=128
            ),
            family=base,
        )
        seconds.append(time.perf_counter() - began)
    return round(float(np.median(seconds[1:])), 2)


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
    parser.add_argument(
        "--work",
        type=Path,
        required=True,
        help="folder of the pre-training; sheets and figures go there",
    )
    parser.add_argument(
        "--reader",
        type=Path,
        default=READER,
        help="what reads the pictures, if not the shipped one",
    )
    parser.add_argument(
        "--pictures", type=int, default=400, help="of men and women, on which the reader is tried"
    )
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument(
        "--sentences", type=int, default=50, help="of them, captions in whole sentences"
    )
    parser.add_argument(
        "--classifier-free",
        type=int,
        default=200,
        help="of the captions, drawn by classifier-free guidance as well",
    )
    parser.add_argument(
        "--others",
        type=int,
        default=100,
        help="captions of children, personas, clay, hats, pairs and things",
    )
    parser.add_argument("--people", type=int, default=10, choices=range(25), metavar="0..24")
    parser.add_argument(
        "--faces", type=int, default=3, help="clay heads, which need the package anny"
    )
    parser.add_argument(
        "--objects",
        type=int,
        default=3,
        choices=range(4),
        metavar="0..3",
        help="objects, and as many styles",
    )
    parser.add_argument(
        "--residual",
        type=int,
        default=20,
        help="batches of 64 by which one pass is compared with two",
    )
    parser.add_argument(
        "--seconds",
        type=int,
        default=5,
        help="pictures whose time is taken; give the machine nothing else to do",
    )
    parser.add_argument(
        "--photographs",
        type=Path,
        help="folder of photographs for the autoencoder, which has seen none",
    )
    arguments = parser.parse_args()
    work = Work(arguments.work, NANO)
    _, held_out = work.shards()
    reader = load_reader(arguments.reader)
    autoencoder = AutoencoderKL.from_pretrained(NANO / "vae", torch_dtype=torch.float32).eval()
    figures: dict[str, Any] = {
        "autoencoder, held-out pictures, dB": round(
            vae.psnr(autoencoder, held_out.pictures[:100]), 2
        )
    }
    if arguments.photographs:
        pictures = vae.photographs(arguments.photographs)
        figures["autoencoder, photographs, dB"] = round(vae.psnr(autoencoder, pictures), 2)
        figures["the best linear code fitted to these photographs, dB"] = round(
            vae.linear_code(pictures), 2
        )
    if arguments.pictures:
        figures["reader, pictures and reconstructions"] = reader_accuracy(
            reader, *grown_ups(arguments.pictures), autoencoder
        )
    if arguments.residual:
        figures["residual of guidance"] = residual(
            Nano.shipped(NANO), held_out, vae.encode(autoencoder, held_out), arguments.residual
        )
    if arguments.seconds:
        figures["one picture, seconds"] = seconds_a_picture(arguments.seconds)
    if arguments.objects:
        things.install()
    texts = {
        "captions": held_out_captions(arguments.captions),
        "sentences": held_out_captions(arguments.sentences, prose=True),
        "others": other_captions(arguments.others),
    }
    subjects = {
        "people": arguments.people,
        "faces": arguments.faces,
        "objects": arguments.objects,
        "styles": arguments.objects,
    }
    figures |= {
        name: captions_right(rows, one_pass, reader, work.folder / f"{name}.png")
        for name, rows in texts.items()
        if rows
    }
    if arguments.classifier_free:
        pipeline = FluxPipeline.from_pretrained(
            NANO, torch_dtype=torch.float32, local_files_only=True
        )
        pipeline.set_progress_bar_config(disable=True)
        rows, draw = (
            held_out_captions(arguments.classifier_free),
            partial(classifier_free, pipeline),
        )
        figures["captions by classifier-free guidance"] = captions_right(
            rows, draw, reader, work.folder / "classifier-free.png"
        )
    figures |= {
        kind: learnt(kind, n, arguments.reader, work.folder / f"{kind}.png")
        for kind, n in subjects.items()
        if n
    }
    gathered = work.folder / "figures.json"  # of several runs, each of a part
    before = json.loads(gathered.read_text()) if gathered.exists() else {}
    gathered.write_text(json.dumps(before | figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"evaluate: {error}")
