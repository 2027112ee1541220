"""Time to likeness beside diffusers' script: `python -m bench.likeness --diffusers SCRIPT --out FILE`.

The same weights of nano, photos, seed and batch: ours by default, and the script as it is, once
with its own settings, once with the ones of ours that it has. Every 25 steps (of the script: 50) the LoRA is kept, and
sixteen pictures are drawn with each (as in `bench.recipe`), by our code for all alike; with the
script's last one first, for what is not like then was not before. The time to likeness is what the processor needed, from the first step on, until identity was 90% and the prompt
92%; the script gets five times what ours took.

The script's own settings are its defaults but for what nano needs: the photos' size and the text's
length. It computes in float32, in which its LoRA learns most; run it where ours does, too. Captions are plain, for the script pairs those of photos with other photos
when it keeps latents (its issue 14430).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import arms, bases, machine, tables
from bench.recipe import PHOTOS, PROMPTS, drawn, photos_of, read, scored
from bench.steps import Peer
from fluxbooth import TrainSpec, train
from fluxbooth.models import loader, registry
from fluxbooth.models.family import Family
from fluxbooth.models.flux1.bases import NANO
from pretrain.subjects import Subject, subject

PEOPLE, MOST = (0, 3, 8), 150  # MOST: steps of ours
EVERY, THEIR_EVERY = 25, 50
IDENTITY, PROMPT = 0.90, 0.92
CAP = 5.0  # times our processor seconds
Kept = Iterator[tuple[int, float, Path]]  # a step, its processor seconds, the LoRA
# in the order of a run, for each subject; what the script is told beside COMMON
ARMS: dict[str, Sequence[str]] = {
    "fluxbooth": (),
    "diffusers' script, its own settings": (),
    "diffusers' script, our settings": (
        "--rank", "16", "--lora_alpha", "16", "--guidance_scale", "1",
        "--weighting_scheme", "logit_normal", "--learning_rate", "1e-3", "--lr_scheduler",
        "constant_with_warmup", "--lr_warmup_steps", "10", "--lora_layers",
    ),
}  # fmt: skip


def ours(photos: Path, chosen: Subject, folder: Path, family: Family) -> Kept:
    told: dict[int, float] = {}

    def tell(event: Any) -> None:
        if event["event"] in ("prepared", "stage"):
            told[event.get("step", 0)] = time.process_time()

    spec = TrainSpec(
        class_name=chosen.class_name, base="nano", steps=MOST, stages=MOST // EVERY, choose_within=0,
        checkpoint_every=100_000,
    )  # fmt: skip
    train(photos, spec, folder, tell, family=family)
    for step in range(EVERY, MOST + 1, EVERY):
        yield step, told[step] - told[0], folder / "stages" / f"step-{step:06d}.safetensors"


def theirs(peer: Peer, name: str, photos: Path, chosen: Subject, folder: Path, cap: float) -> Kept:
    """The script, until it took so many processor seconds."""
    told = ARMS[name]
    if told and told[-1] == "--lora_layers":
        told = (*told, ",".join(_layers()))
    common = {
        "pretrained_model_name_or_path": bases.nano(folder.parent), "instance_data_dir": photos,
        "instance_prompt": f"ohwx {chosen.class_name}", "resolution": 128,
        "max_sequence_length": registry.BASES["nano"].text_length, "max_train_steps": 100_000,
        "checkpointing_steps": THEIR_EVERY, "seed": 0, "output_dir": folder,
    }  # fmt: skip
    settings = [part for key, value in common.items() for part in (f"--{key}", str(value))]
    environment = {**peer.environment, "WANDB_MODE": "offline"}
    seconds, step, found = 0.0, 1, dict[int, float]()
    command = [
        "bench.diffusers_run",
        str(peer.script),
        json.dumps([*settings, "--cache_latents", "--mixed_precision", "no", *told]),
    ]
    with arms.started(name, command, folder.with_suffix(".log"), 1, environment) as arm:
        while seconds < cap:
            # a checkpoint is written once its step is done: when the next ones are
            more = THEIR_EVERY - step % THEIR_EVERY
            seconds += sum(arm.go(more)["cpu"])
            step += more
            found[step] = seconds
        arm.go(1)
    for step, seconds in found.items():
        yield step, seconds, folder / f"checkpoint-{step}" / "pytorch_lora_weights.safetensors"


def _layers() -> list[str]:
    """Every Linear of the blocks, as ours adapts."""
    import torch
    from diffusers import FluxTransformer2DModel
    from torch import nn

    with torch.device("meta"):
        config: Any = FluxTransformer2DModel.load_config(NANO, subfolder="transformer")
        network: Any = FluxTransformer2DModel.from_config(config)
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and "transformer_blocks." in name
    ]


def reached(looks: Sequence[dict[str, float]]) -> dict[str, float] | None:
    """The first look at which both are there."""
    return next(
        (one for one in looks if one["identity"] >= IDENTITY and one["prompt"] >= PROMPT), None
    )


def compared(peer: Peer, number: int, family: Family, out: Path) -> None:
    """A line of JSON for each arm on one person."""
    chosen, rng = subject("people", number), random.Random(f"people {number}")
    asked = [chosen.prompt(rng) for _ in range(PROMPTS)]
    texts, wishes = [text for text, _ in asked], [wish for _, wish in asked]
    done = {row["arm"]: row["looks"] for row in read(out) if row["person"] == number}

    def look(step: int, seconds: float, lora: Path) -> dict[str, Any]:
        found = scored(drawn(texts, lora, family), chosen, wishes)
        return {"step": step, "seconds": round(seconds, 2), **found}

    with tempfile.TemporaryDirectory() as place:
        photos = photos_of(chosen, rng, Path(place) / "photos")
        for index, arm in enumerate(ARMS):
            if arm in done:
                continue
            folder, looks, at_last = Path(place) / f"run-{index}", list[dict[str, Any]](), None
            if index:
                cap = CAP * (reached(done["fluxbooth"]) or done["fluxbooth"][-1])["seconds"]
                *before, last = theirs(peer, arm, photos, chosen, folder, cap)
                at_last = look(*last)
                kept = iter(before if at_last["identity"] >= IDENTITY else ())
            else:
                kept = ours(photos, chosen, folder, family)
            for one in kept:
                looks.append(look(*one))
                if reached(looks):
                    break
            if at_last and not reached(looks):
                looks.append(at_last)
            done[arm] = looks
            row = {"person": number, "photos": PHOTOS, "arm": arm, "looks": looks}
            with out.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)


def page(rows: Sequence[dict[str, Any]]) -> None:
    """Keeps the table in bench/results."""
    cells = []
    for row in sorted(rows, key=lambda row: (row["person"], list(ARMS).index(row["arm"]))):
        there, last = reached(row["looks"]), row["looks"][-1]
        cells.append([
            str(row["person"]), row["arm"],
            f"{there['seconds']:.1f}" if there else f"not in {last['seconds']:.0f}",
            str((there or last)["step"]),
            f"{100 * (there or last)['identity']:.0f} / {100 * (there or last)['prompt']:.0f}",
        ])  # fmt: skip
    tables.save(
        "likeness",
        {
            "time": {
                "machine": machine.described(1),
                "by": "python -m bench.likeness --diffusers SCRIPT",
                "columns": [
                    "person",
                    "arm",
                    "processor seconds",
                    "steps",
                    "identity / prompt then, %",
                ],
                "rows": cells,
            }
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.likeness", description=__doc__)
    parser.add_argument("--diffusers", type=Path, metavar="SCRIPT")
    parser.add_argument("--peer-packages", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, help="a file of lines of JSON")
    parser.add_argument("--people", type=int, nargs="+", default=PEOPLE)
    parser.add_argument("--page", action="store_true", help="make the table, train nothing")
    arguments = parser.parse_args()
    if arguments.page:
        page(read(arguments.out))
        return
    if not arguments.diffusers:
        parser.error("--diffusers SCRIPT names diffusers' train_dreambooth_lora_flux.py")
    os.environ["HF_HUB_OFFLINE"] = "1"
    peer = Peer(arguments.diffusers.resolve(), arguments.peer_packages)
    family = loader.load("nano", training=True)
    for number in arguments.people:
        compared(peer, number, family, arguments.out)


if __name__ == "__main__":
    main()
