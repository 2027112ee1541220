"""`fluxbooth verify`: what cannot be known without the hardware and the weights, measured on them,
for a report to be shared.

Trains on the demo's photos and draws with the result by the very commands that users run, each in a
process of its own, so that its memory is its own; then a training is killed, goes on, and is held
to an unbroken one. What is measured is also written as rows, of the form and by the tests of the
program for a card (`rows.py`), whose tables they go into.
"""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from fluxbooth import hardware
from fluxbooth.errors import FluxboothError
from fluxbooth.evaluation import demo, lettering, provenance, rows, verify_page
from fluxbooth.evaluation.measured_process import Measured, StoppedError, measured
from fluxbooth.evaluation.rows import Row, figures
from fluxbooth.events import JsonEvent, Report, TrainingEvent, TrainingReport
from fluxbooth.files import cannot_write, check_ours, make_folder
from fluxbooth.hardware import GIB
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice, Estimate, Job
from fluxbooth.models import hub, registry, timing
from fluxbooth.models.base import Base
from fluxbooth.photos import inspection
from fluxbooth.specs import TrainSpec
from fluxbooth.training.loop import LOG_EVERY, train
from fluxbooth.training.run_folder import to_toml
from fluxbooth.types import Json

# of what the LoRA changes in a picture may change when it is read back from its file
LARGEST_EFFECT = 0.1
GREY = 1.0  # one level of 255: rounding
ROWS = ("a step", "a picture", "letters of the signs", "a training that was resumed")
PHOTOS = sorted(demo.PHOTOS.glob("*.png"))
SIGNS = ("OPEN DAILY", "Fresh bread", "No parking", "Platform 9")
# for the trainings that are only compared, whose validation would else take longer than their steps
FEW = PHOTOS[:4]


@dataclass(frozen=True)
class Course:
    """How much is done."""

    training: TrainSpec
    short: int  # steps of the trainings that are compared after a kill
    pictures: int  # prompts, each drawn without and with the LoRA
    steps: int = 28  # of each picture
    signs: tuple[str, ...] = ()  # words that are drawn on signs, and read back


def course(row: Base) -> Course:
    """About ten minutes on a GPU of 24 GB; a small base has the demo's whole training,
    and no signs, for it cannot write."""
    spec = demo.spec_of(row)
    least = {"steps": spec.steps if row.small else 200, "resolutions": (min(row.resolutions),)}
    spec = spec.model_copy(update=least)
    signs = () if row.small else SIGNS
    return Course(spec, 20, pictures=8 if row.small else 4, steps=row.steps, signs=signs)


def run(out: Path, report: Report, row: Base, chosen: Course | None = None) -> Json:
    """Writes `report.json` and `report.html` into `out`, with the LoRA and the pictures beside
    them; returns the former.

    A part that fails is told as failed, by the kind of its error, and the others go on. Raises
    InputError for a folder of something else, FluxboothError if it cannot be written.
    """
    began = time.monotonic()
    check_ours(out, "training", "verification")
    make_folder(out / "training")
    shutil.rmtree(out / "pictures", ignore_errors=True)
    verification = _Verification(out, row, chosen or course(row), report)
    result: Json = provenance.facts() | {
        "base": provenance.base_facts(row),
        "job": verification.job_facts(),
    }
    for name, title, part in (
        ("training", "Training on the demo's photos", verification.training),
        ("drawing", "Drawing without and with the LoRA", verification.drawing),
        ("resume", "A training is killed and goes on", verification.resume),
    ):
        report({"event": "phase", "text": f"{title} ..."})
        try:
            result[name] = part()
        except (FluxboothError, torch.OutOfMemoryError) as error:
            report({"event": "phase", "text": f"Failed: {error}"})
            result[name] = {
                "failed": error.kind if isinstance(error, StoppedError) else type(error).__name__
            }
        write_rows(out / "rows.jsonl", result, verification.rows)
    result |= {
        "checks": verification.checks(result),
        "seconds_total": round(time.monotonic() - began, 1),
    }
    try:
        (out / "report.json").write_text(json.dumps(result, indent=1) + "\n")
        (out / "report.html").write_text(verify_page.page(result, verification.shown()))
    except OSError as error:
        raise cannot_write(out, error) from error
    return result


def write_rows(path: Path, told: Json, found: dict[str, Row]) -> None:
    """A line of JSON for each, after one of the machine and the base."""
    where = told["machine"] | {
        "commit": told["fluxbooth"]["commit"],
        "base": told["base"]["name"],
    }
    lines = [{"machine": where}, *({"row": name, **row} for name, row in found.items())]
    try:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    except OSError as error:
        raise cannot_write(path, error) from error


class _Verification:
    """One run of the course: each part returns its figures and leaves what later ones need in
    the folder."""

    def __init__(self, out: Path, row: Base, course: Course, report: Report) -> None:
        self.out, self.row, self.course, self.report = out, row, course, report
        self.spec = registry.resolve(course.training, len(PHOTOS))
        self.size = registry.description_of(row).shape(str(hub.local(row) or row.source))
        self.texts = [text for text, _ in demo.PROMPTS[: course.pictures]]
        self.photos: list[Image.Image] = []
        self.without: list[Image.Image] = []
        self.with_lora: list[Image.Image] = []
        self.signs: list[Image.Image] = []
        self.rows: dict[str, Row] = {}

    def job_facts(self) -> Json:
        fields = ("steps", "resolutions", "rank", "batch_size", "text_length", "optimizer")
        dumped = self.spec.model_dump(mode="json")
        return {name: dumped[name] for name in fields} | {
            "photos": len(PHOTOS),
            "pictures": 2 * len(self.texts),
            "signs": list(self.course.signs),
            "picture_side": self.row.native_side,
            "denoising_steps": self.course.steps,
            "parameters": self.size.transformer,
        }

    def training(self) -> Json:
        spec, steps = self.spec, self.spec.steps
        # drawn by the network as it was trained, to hold the file to
        sampled = spec.model_copy(
            update={
                "checkpoint_every": steps,
                "sample_prompts": (self.texts[0],),
                "choose_within": 0,  # it is the steps that are timed
            }
        )
        done = self._train(PHOTOS, sampled, self.out / "training")
        times = {event["step"]: at for at, event in done.events if event["event"] == "step"}
        prepared = next(at for at, event in done.events if event["event"] == "prepared")
        # the first ten steps warm up, and are told together
        step = (times[steps] - times[LOG_EVERY]) / (steps - LOG_EVERY)
        told = [number for number in sorted(times) if number >= LOG_EVERY]
        each = [(times[b] - times[a]) / (b - a) for a, b in itertools.pairwise(told)]
        job = Job(
            max(spec.resolutions),
            spec.text_length,
            spec.batch_size,
            spec.rank,
            spec.optimizer,
            spec.ema is not None,
            sample_side=self.row.native_side,
        )
        choice, card = _choice(done), hardware.gpu()
        predicted = estimate.estimate(self.size, job, choice, gpu=card is not None)
        kept = choice.quantisation if choice.quantisation != "none" else choice.dtype
        recomputed = f"{choice.checkpointed} of {len(self.size.blocks)}"
        what = rows.step_name(kept, job.side, job.batch_size, recomputed)
        self.rows["a step"] = _timed(each, predicted, done, what)
        time_predicted = (
            None
            if card is None
            else timing.seconds_per_step(self.size, job, choice, timing.like(card.total, card.name))
        )
        return {
            "seconds_to_prepare": round(prepared, 1),
            "seconds_per_step": round(step, 4),
            "predicted_seconds_per_step": time_predicted and round(time_predicted, 4),
            "memory": _memory(predicted, done),
            "choice": verify_page.choice(choice, self.size),
            "loss": round(done.result["loss"], 4),
            "validation_loss": round(done.result["validation_loss"], 4),
        }

    def drawing(self) -> Json:
        count = len(self.texts)
        tagged = [f"{text} <lora:training:1>" for text in self.texts]
        signs = [
            f'A painted wooden sign on a wall that says "{sign}"' for sign in self.course.signs
        ]
        done = self._draw([*self.texts, *tagged, *signs], self.row.name, self.out / "pictures")
        drawn = _pictures(done)
        self.without, self.with_lora = drawn[:count], drawn[count : 2 * count]
        self.signs = drawn[2 * count :]
        self.photos = [Image.fromarray(photo.pixels) for photo in inspection.read(PHOTOS)]
        times = [at for at, event in done.events if event["event"] == "picture"]
        choice = _choice(done)
        predicted = estimate.estimate_generation(
            self.size,
            self.row.native_side,
            self.row.text_length,
            choice,
            gpu=hardware.gpu() is not None,
        )
        each = [b - a for a, b in itertools.pairwise(times[: 2 * count])]
        what = f"{self.course.steps} steps at {self.row.native_side} px"
        self.rows["a picture"] = _timed(each, predicted, done, what)
        return {
            "seconds_to_first_picture": round(times[0], 1),
            "seconds_per_picture": round((times[2 * count - 1] - times[count - 1]) / count, 3),
            "memory": _memory(predicted, done),
            "choice": verify_page.choice(choice, self.size),
            "likeness": demo.measure(self.photos, self.without, self.with_lora),
            "lettering": self._lettering(),
            "reload": self._reload(),
        }

    def _lettering(self) -> Json | None:
        """How much of what the signs should say can be read; None where none were drawn, or the
        reader is not installed."""
        if not self.signs or not lettering.available():
            return None
        read = [lettering.read(picture) for picture in self.signs]
        right = [
            lettering.found(wanted, lines)
            for wanted, lines in zip(self.course.signs, read, strict=True)
        ]
        self.rows["letters of the signs"] = figures(right, "share that is read")
        return {"letters_right": round(sum(right) / len(right), 4), "read": read}

    def _draw(self, texts: Sequence[str], base: str, out: Path) -> Measured:
        flags = ["--base", base, "--seed", str(self.spec.seed)]
        if base == self.row.name:  # another draws as it does by itself, as samples are drawn
            flags += ["--steps", str(self.course.steps)]
        return measured(
            ["generate", *texts, *flags, "--out", str(out)],
            self.report,
            {"FLUXBOOTH_LORAS": str(self.out)},
        )

    def _reload(self) -> Json:
        """How far the picture drawn from the file is from the one that the network drew before
        it was written, by the weights that were trained."""
        without, with_lora = self.without[0], self.with_lora[0]
        if self.row.pair:
            trained_on, text = str(hub.local(self.row.to_train)), self.texts[0]
            texts = [text, f"{text} <lora:training:1>"]
            without, with_lora = _pictures(self._draw(texts, trained_on, self.out / "reload"))
            shutil.rmtree(self.out / "reload")
        (path,) = (self.out / "training" / "samples").glob(f"step-{self.spec.steps:06d}-0.png")
        before = Image.open(path).convert("RGB")
        return {
            "difference": round(_difference(before, with_lora), 3),
            "effect_of_the_lora": round(_difference(without, with_lora), 3),
        }

    def resume(self) -> Json:
        """Weights after a kill in the middle, against an unbroken run; where they differ,
        against a second unbroken one."""
        folder = self.out / "resume"
        shutil.rmtree(folder, ignore_errors=True)
        half = self.course.short // 2
        spec = self.spec.model_copy(update={"steps": 2 * half, "checkpoint_every": half})
        events: list[TrainingEvent] = []
        self._train(
            FEW,
            spec,
            folder / "killed",
            kill_at=lambda event: event["event"] == "checkpoint" and event["step"] == half,
        )
        resumed = self._weights(spec, folder / "killed", events.append)
        unbroken = self._weights(spec, folder / "unbroken", lambda event: None)
        difference = _distance(resumed, unbroken)
        identical = all(torch.equal(value, unbroken[name]) for name, value in resumed.items())
        found: Json = {
            "steps": 2 * half,
            "resumed_at": next(
                event["resumed_at"] for event in events if event["event"] == "prepared"
            ),
            "identical": identical,
            "difference": difference,
        }
        ok, against = True, "the same, bit for bit"
        if not identical:
            own = _distance(self._weights(spec, folder / "again", lambda event: None), unbroken)
            found["difference_of_two_unbroken"] = own
            ok, against = rows.resume_held(difference, own)
        self.rows["a training that was resumed"] = figures(
            [difference], "relative difference", ok=ok, against=against
        )
        shutil.rmtree(folder)
        return found

    def _train(
        self,
        photos: Sequence[Path],
        spec: TrainSpec,
        out: Path,
        kill_at: Callable[[JsonEvent], bool] | None = None,
    ) -> Measured:
        settings = self.out / "spec.toml"
        settings.write_text(to_toml(spec))
        flags = ["--config", str(settings), "--out", str(out), "--overwrite"]
        done = measured(["train", *map(str, photos), *flags], self.report, kill_at=kill_at)
        settings.unlink()
        return done

    def _weights(
        self, spec: TrainSpec, out: Path, report: TrainingReport
    ) -> dict[str, torch.Tensor]:
        """Of a training in this process, which then gives back what it took."""
        weights = load_file(train(FEW, spec, out, report).lora)
        hardware.release_memory()
        return weights

    def checks(self, result: Json) -> list[Json]:
        """What must hold, each with whether it does and why."""
        found = []
        for part in ("training", "drawing", "resume"):
            if "failed" in result[part]:
                found.append(
                    {"what": part, "ok": False, "why": f"it ended with {result[part]['failed']}"}
                )
        if "failed" not in result["resume"]:
            found.append(_resume_check(result["resume"]))
        if "failed" not in result["drawing"]:
            found.append(_reload_check(result["drawing"]["reload"]))
        return found

    def shown(self) -> verify_page.Pictures:
        return verify_page.Pictures(
            self.photos, self.texts, self.without, self.with_lora, self.course.signs, self.signs
        )


def _pictures(done: Measured) -> list[Image.Image]:
    return [Image.open(row["path"]).convert("RGB") for row in done.result["pictures"]]


def _choice(done: Measured) -> Choice:
    """What was given up for memory, as the work itself told."""
    plan = next(event for _, event in done.events if event["event"] == "plan")
    return Choice(
        plan["dtype"],
        plan["quantisation"],
        plan["checkpointed"],
        plan["encoders"],
        plan["offloaded"],
        plan["stored"],
    )


def _memory(predicted: Estimate, done: Measured) -> Json:
    return {
        "of": "GPU" if done.on_gpu else "main memory",
        "predicted_gb": round(predicted.device / GIB, 2),
        "measured_gb": round(done.memory / GIB, 2),
        "off_by": round(predicted.device / done.memory - 1, 3),
    }


def _timed(each: Sequence[float], predicted: Estimate, done: Measured, what: str) -> Row:
    """Seconds, held to the memory that was foreseen; main memory is not, for a process holds more
    there than tensors."""
    ok, held = rows.memory_held(predicted.device, done.memory)
    if not done.on_gpu:
        ok, held = True, ""
    return figures(each, "s", ok=ok, against="; ".join(filter(None, (what, held))))


def _resume_check(found: Json) -> Json:
    if found["identical"]:
        return {
            "what": "resume",
            "ok": True,
            "why": (
                f"killed at step {found['resumed_at']} and gone on: the same weights, bit for bit"
            ),
        }
    own, after = found["difference_of_two_unbroken"], found["difference"]
    return {
        "what": "resume",
        "ok": rows.resume_held(after, own)[0],
        "why": (
            f"killed at step {found['resumed_at']} and gone on: weights differ by {after:.1e}; "
            f"two unbroken runs here by {own:.1e}"
        ),
    }


def _reload_check(found: Json) -> Json:
    difference, effect = found["difference"], found["effect_of_the_lora"]
    return {
        "what": "reload",
        "ok": difference <= max(GREY, LARGEST_EFFECT * effect),
        "why": (
            f"drawn from the file, the picture differs by {difference:.2f} of 255 grey levels from "
            f"that of the network as trained; the LoRA itself changes {effect:.2f}"
        ),
    }


def _difference(a: Image.Image, b: Image.Image) -> float:
    """Mean over pixels and channels, in grey levels of 255."""
    return float(np.abs(np.asarray(a, dtype=np.float32) - np.asarray(b, dtype=np.float32)).mean())


def _distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Of what was learnt: B begins at zero, so all that is in it was."""
    learnt = [name for name in a if name.endswith("lora_B.weight")]
    return rows.distance([a[name] for name in learnt], [b[name] for name in learnt])
