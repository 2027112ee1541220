"""Makes nano from nothing: `python -m pretrain --work DIR`. Resumes where it stopped; `--only
STAGE` runs one stage.

Stages: render, vae, encode, language, transformer, distill, critic, own-samples,
self-distillation, reader, wide-reader, labels, segmenter, export. Everything but the exported weights stays in DIR,
which should lie outside the repository (about 5 GB), in ~/.cache/fluxbooth-things, to which npm
brings the pictures of things (60 MB), and in ~/.cache/fluxbooth-anny, where the package anny keeps
its body model (1.2 GB; extra `mesh`).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from fluxbooth.errors import InputError
from fluxbooth.generation.enhance.segmenter import Segmenter, load_segmenter
from fluxbooth.models.attribute_reader import Reader, load_reader
from fluxbooth.models.flux1.bases import NANO, SEGMENTER
from pretrain import (
    adversarial,
    data,
    distill,
    export,
    language,
    own_samples,
    reader,
    segmenter,
    self_distillation,
    transformer,
    vae,
)
from pretrain.attributes import of_grown_ups, vocabulary
from pretrain.checkpoint import load_state
from pretrain.critic import AttributeCritic

Row = TypeVar("Row", bound=tuple[Any, ...])  # starts with (steps done, figure or total)


class Work:
    """The folder of a pre-training, and the finished stages read back from it."""

    def __init__(self, folder: Path, begin: Path | None = None) -> None:
        """`begin`: a finished model whose latents are kept, and whose weights are trained on."""
        self.folder, self.begin = folder, begin
        folder.mkdir(parents=True, exist_ok=True)

    def shards(self) -> tuple[list[data.Shard], data.Shard]:
        """Those to train on, and the last one, which is only looked at."""
        shards = data.load(self.folder / "data")
        if not shards:
            raise InputError(
                f"There are no pictures in {self.folder / 'data'}: run `--only render` first."
            )
        return shards[:-1], shards[-1]

    def vae(self) -> vae.AutoencoderKL:
        made = self.folder / "vae"
        found = self.begin / "vae" if self.begin and not made.exists() else made
        return vae.AutoencoderKL.from_pretrained(found, torch_dtype=torch.float32).eval()

    def labels(self, shards: list[data.Shard]) -> list[np.ndarray]:
        return [
            np.load(self.folder / "labels" / shard.path.name, mmap_mode="r") for shard in shards
        ]

    def latents(self, shards: list[data.Shard]) -> list[np.ndarray]:
        return [np.load(self.folder / "latents" / shard.path.name) for shard in shards]

    def beginning(self) -> transformer.Nano:
        torch.manual_seed(0)
        return transformer.Nano.shipped(self.begin) if self.begin else transformer.Nano()

    def nano(self, name: str) -> transformer.Nano:
        from safetensors.torch import load_file

        model = self.beginning()
        part = {
            "language": "model.model.",
            "transformer": "model.average.",
            "distill": "model.",
            "own-samples": "model.",
            "self-distillation": "model.",
        }[name]
        tensors = load_file(self.finished(name))
        model.load_state_dict(
            {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
        )
        return model.eval()

    def checkpoint(self, stage: str, number: int | None = None) -> Path:
        return self.folder / (
            f"{stage}.safetensors" if number is None else f"{stage}-{number}.safetensors"
        )

    def finished(self, stage: str, number: int | None = None) -> Path:
        path = self.checkpoint(stage, number)
        if not path.exists():
            raise InputError(f"{path} is missing: run `--only {stage}` first.")
        return path

    def critics(self) -> list[AttributeCritic]:
        """The trained attribute critics, which read samples."""
        critics = [AttributeCritic() for _ in range(adversarial.CRITICS)]
        for number, critic in enumerate(critics):
            load_state(self.finished("critic", number), critic)
        return [critic.eval() for critic in critics]


def render(work: Work, steps: int) -> None:
    for done, of in show("render", data.render_all(work.folder / "data", steps, workers=2)):
        assert done <= of


def train_vae(work: Work, steps: int) -> None:
    shards, held_out = work.shards()
    finished = work.vae() if work.begin else None
    for step, _, model in show(
        "vae", vae.train(shards, steps, work.folder / "vae.safetensors", finished), steps
    ):
        if step % 500 == 0 or step == steps:
            print(
                f"  held-out pictures: {vae.psnr(model, held_out.pictures[:64]):.2f} dB",
                file=sys.stderr,
                flush=True,
            )
    model = finished or vae.build()
    load_state(work.folder / "vae.safetensors", model)
    if not finished:
        vae.normalise(model, shards)
    model.save_pretrained(work.folder / "vae")


def encode(work: Work, steps: int) -> None:
    model, (shards, _) = work.vae(), work.shards()
    folder = work.folder / "latents"
    folder.mkdir(exist_ok=True)
    for number, shard in enumerate(shards):
        path = folder / shard.path.name
        if not path.exists():
            with path.with_suffix(".tmp").open("wb") as file:
                np.save(file, vae.encode(model, shard))
            path.with_suffix(".tmp").rename(path)
        print(f"encode {number + 1}/{len(shards)}", file=sys.stderr, flush=True)


def train_language(work: Work, steps: int) -> None:
    for _ in show(
        "language",
        language.train(work.beginning(), steps, work.folder / "language.safetensors"),
        steps,
    ):
        pass


def train_transformer(work: Work, steps: int) -> None:
    shards, _ = work.shards()
    checkpoint = work.folder / "transformer.safetensors"
    learnt = (work.folder / "language.safetensors").exists()
    # the shipped encoders know it already
    beginning = work.beginning() if work.begin and not learnt else work.nano("language")
    for _ in show(
        "transformer",
        transformer.train(beginning, shards, work.latents(shards), steps, checkpoint),
        steps,
    ):
        pass


def train_distill(work: Work, steps: int) -> None:
    shards, _ = work.shards()
    teacher = work.nano("transformer")
    for _ in show(
        "distill",
        distill.train(
            teacher, shards, work.latents(shards), steps, work.folder / "distill.safetensors"
        ),
        steps,
    ):
        pass


def train_critics(work: Work, steps: int) -> None:
    shards, _ = work.shards()
    latents = work.latents(shards)
    for number in range(adversarial.CRITICS):
        for _ in show(
            f"critic {number}",
            adversarial.train(number, shards, latents, steps, work.checkpoint("critic", number)),
            steps,
        ):
            pass


def train_on_own_samples(work: Work, steps: int) -> None:
    shards, _ = work.shards()
    student, teacher = work.nano("distill"), work.nano("transformer")
    rows = own_samples.train(
        student,
        teacher,
        work.critics(),
        shards,
        work.latents(shards),
        steps,
        work.folder / "own-samples.safetensors",
    )
    for _ in show("own-samples", rows, steps):
        pass


def train_self_distillation(work: Work, steps: int) -> None:
    shards, _ = work.shards()
    done = work.checkpoint("own-samples").exists()
    # the shipped one was trained on its own samples already
    student, reference = (
        work.beginning() if work.begin and not done else work.nano("own-samples") for _ in range(2)
    )
    rows = self_distillation.train(
        student,
        reference,
        work.critics(),
        shards,
        work.latents(shards),
        steps,
        work.folder / "self-distillation.safetensors",
    )
    for _ in show("self-distillation", rows, steps):
        pass


def train_reader(work: Work, steps: int) -> None:
    shards, held_out = work.shards()
    read(
        work,
        "reader",
        of_grown_ups(),
        reader.grown_ups(shards),
        reader.grown_ups([held_out])[0],
        steps,
    )


def train_wide_reader(work: Work, steps: int) -> None:
    read(work, "wide-reader", vocabulary(), *work.shards(), steps)


def read(
    work: Work,
    stage: str,
    attributes: Mapping[str, Sequence[str]],
    shards: list[data.Shard],
    held_out: data.Shard,
    steps: int,
) -> None:
    torch.manual_seed(0)
    model = Reader(attributes)
    if work.begin:
        shipped = load_reader(work.begin / "reader" / "model.safetensors")
        model.stages.load_state_dict(shipped.stages.state_dict())
        for name in (
            name for name, values in shipped.attributes.items() if values == model.attributes[name]
        ):
            model.heads[name].load_state_dict(shipped.heads[name].state_dict())
    for _ in show(
        stage, reader.train(model, shards, work.vae(), steps, work.checkpoint(stage)), steps
    ):
        pass
    export.reader(model, work.folder / stage)
    saved = load_reader(work.folder / stage / "model.safetensors")
    answers = [row.answers() for row in held_out.rows]
    print(export.reader_accuracy(saved, held_out.pictures, answers, work.vae()), file=sys.stderr)


def label(work: Work, steps: int) -> None:
    (shards, held_out), folder = work.shards(), work.folder / "labels"
    for _ in show("labels", data.label_all([*shards, held_out], folder, workers=2)):
        pass


def train_segmenter(work: Work, steps: int) -> None:
    shards, held_out = work.shards()
    torch.manual_seed(0)
    model = load_segmenter(SEGMENTER) if work.begin else Segmenter()
    rate = segmenter.LEARNING_RATE * (segmenter.FINISHED if work.begin else 1)
    rows = segmenter.train(
        model, shards, work.labels(shards), work.vae(), steps, work.checkpoint("segmenter"), rate
    )
    for _ in show("segmenter", rows, steps):
        pass
    export.segmenter(model, work.folder / "segmenter")
    saved = load_segmenter(work.folder / "segmenter" / "model.safetensors")
    (labels,) = work.labels([held_out])
    print(segmenter.overlap(saved, vae.to_model(held_out.pictures), labels), file=sys.stderr)


def write(work: Work, steps: int) -> None:
    export.pipeline(work.nano("self-distillation"), work.vae(), NANO)
    if not work.begin or work.checkpoint("reader").exists():  # else the shipped one stays
        export.copy(work.folder / "reader", NANO / "reader")
    if not work.begin or work.checkpoint("segmenter").exists():
        export.copy(work.folder / "segmenter", NANO / "segmenter")


def show(stage: str, rows: Iterator[Row], steps: int | None = None) -> Iterator[Row]:
    """Prints the progress of a stage with the time left, from rows that begin with (done,
    figure or total)."""
    began, first = time.monotonic(), None
    for row in rows:
        first = row[0] if first is None else first
        total = steps or row[1]
        speed = (row[0] - first) / max(1e-9, time.monotonic() - began)
        left = f", {(total - row[0]) / speed / 60:.0f} min left" if speed > 0 else ""
        figure = f" {row[1]:.4f}" if steps else ""
        print(f"{stage} {row[0]}/{total}{figure}{left}", file=sys.stderr, flush=True)
        yield row


# function of each stage, and its steps (pictures, for render)
RUN = {
    "render": (render, 48_400), "vae": (train_vae, 4_500), "encode": (encode, 0),
    "language": (train_language, 1_500), "transformer": (train_transformer, 5_000),
    "distill": (train_distill, 250), "critic": (train_critics, 3_900),
    "own-samples": (train_on_own_samples, 2_000),
    "self-distillation": (train_self_distillation, 2_500), "reader": (train_reader, 1_500),
    "wide-reader": (train_wide_reader, 1_500), "labels": (label, 0),
    "segmenter": (train_segmenter, 2_000), "export": (write, 0),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pretrain",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path.home() / ".cache" / "fluxbooth-pretrain",
        help="folder of everything in between",
    )
    parser.add_argument(
        "--only", choices=tuple(RUN), nargs="+", default=tuple(RUN), help="run only these stages"
    )
    parser.add_argument(
        "--steps", type=int, help="steps of the stage given with --only (pictures, for render)"
    )
    parser.add_argument(
        "--warm-start",
        action="store_true",
        help="train the shipped weights on, with their latents and vocabularies",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=2,
        help="1 where other work shares the cores: two threads would wait for each other",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    work = Work(arguments.work, NANO if arguments.warm_start else None)
    for stage in arguments.only:
        run, steps = RUN[stage]
        try:
            run(work, arguments.steps or steps)
        except InputError as error:
            sys.exit(f"pretrain: {error}")


if __name__ == "__main__":
    main()
