"""The folder of a training run: its spec, its checkpoints, and how it goes on after any
interruption.

A checkpoint is a folder `step-000250` with `lora.safetensors`, `state.safetensors` (optimiser,
moving average) and `SHA256SUMS`. It is written under another name, flushed to disk and renamed, so
that one that exists is whole; its hash list tells whether it stayed so. `run.json` says what is
trained, and is locked while it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.optim import Optimizer

from fluxbooth import locks
from fluxbooth.errors import InputError
from fluxbooth.events import LoggedEvent
from fluxbooth.files import cannot_write, is_full, save_tensors
from fluxbooth.memory.estimate import Choice
from fluxbooth.photos.inspection import Photo
from fluxbooth.specs import ResolvedTrainSpec, TrainSpec

RUN, PLAN, SPEC, LOG, LORA = "run.json", "plan.json", "spec.toml", "log.jsonl", "ohwx.safetensors"
CAPTIONS, SCORED, LOOKS = "captions", "scored", "looks.json"
# how often progress is kept, or what is drawn on the way, does not change the weights
NOT_IDENTITY = {"checkpoint_every", "keep_checkpoints", "stages", "sample_prompts", "trackers"}
# which of them are kept, and how many, is asked anew
NOT_IDENTITY |= {"choose_within", "stop_early"}
# nor does how memory was found
NOT_IDENTITY |= {"gradient_checkpointing", "encoders", "offload_blocks"}
LOCK_WITHIN = 10.0  # seconds: a training that was just stopped, or killed, may still be ending
# of a plan, what a resumed run must do again even if there is another amount of memory now
CHOSEN = ("dtype", "quantisation")


class OtherRun(InputError):
    """A folder holds an unfinished training with other settings or photos."""


def forget_checkpoints(path: Path) -> None:
    """So that the training in this folder begins anew, with whatever settings."""
    for checkpoint in RunFolder(path).checkpoints():
        shutil.rmtree(checkpoint)


class RunFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.lora, self.log, self.cache = path / LORA, path / LOG, path / "cache"

    @classmethod
    @contextlib.contextmanager
    def opened(
        cls, path: Path, spec: ResolvedTrainSpec, photos: Sequence[Photo], *, overwrite: bool
    ) -> Iterator[RunFolder]:
        """Creates the folder, or opens that of an unfinished run of the same spec and photos; no
        other training writes into it meanwhile.

        Raises InputError if one does, or if the folder holds anything else and `overwrite` is
        false, OtherRun if that is an unfinished run of another spec or photos; FluxboothError if it
        cannot be written.
        """
        identity = {
            "spec": spec.model_dump(mode="json", exclude=NOT_IDENTITY),
            "photos": sorted(
                hashlib.sha256(p.pixels.tobytes() + (p.caption or "").encode()).hexdigest()
                for p in photos
            ),
        }
        run = path / RUN
        _refuse_foreign(path, run, overwrite)
        try:
            path.mkdir(parents=True, exist_ok=True)
            held = locks.held(run, LOCK_WITHIN)
        except OSError as error:
            raise cannot_write(path, error) from error
        if held is None:
            raise InputError(
                f"Another training writes into {path}: wait for its end, stop it, or choose "
                "another folder with --out."
            )
        with held:
            _refuse_foreign(path, run, overwrite)  # the other may have finished it while we waited
            if not overwrite:
                _refuse_others(path, run, identity)
            try:
                if overwrite:
                    _empty(path)
                if run.read_text() != (text := json.dumps(identity, indent=1)):
                    run.write_text(text)
                (path / SPEC).write_text(to_toml(spec))
                (path / "cache").mkdir(exist_ok=True)
            except OSError as error:
                raise cannot_write(path, error) from error
            try:
                yield cls(path)
            except OSError as error:
                if is_full(error):
                    raise cannot_write(path, error) from error
                raise

    def show_captions(self, written: Mapping[str, str]) -> None:
        """Keeps the captions that were written for photos, by the photo's name, as files that can
        be put beside the photos and changed there."""
        shutil.rmtree(self.path / CAPTIONS, ignore_errors=True)
        if written:
            (self.path / CAPTIONS).mkdir()
        for name, text in written.items():
            (self.path / CAPTIONS / name).with_suffix(".txt").write_text(text + "\n")

    def checkpoints(self) -> list[Path]:
        """The checkpoints, oldest first."""
        return sorted(p for p in self.path.glob("step-*") if p.is_dir() and p.name[5:].isdigit())

    def stage(self, step: int) -> Path:
        """Where the finished LoRA of a stage lies, once its samples are drawn."""
        (self.path / "stages").mkdir(exist_ok=True)
        return self.path / "stages" / f"step-{step:06d}.safetensors"

    def sample(self, step: int, number: int) -> Path:
        """Where the picture of a sample prompt lies."""
        (self.path / "samples").mkdir(exist_ok=True)
        return self.path / "samples" / f"step-{step:06d}-{number}.png"

    def scored(self, step: int, number: int) -> Path:
        """Where a picture lies by which a checkpoint was scored."""
        (self.path / SCORED).mkdir(exist_ok=True)
        return self.path / SCORED / f"step-{step:06d}-{number}.png"

    def save(
        self, step: int, weights: dict[str, Tensor], state: dict[str, Tensor], keep: int
    ) -> Path:
        """Writes the checkpoint of a step and removes all but the last `keep`."""
        final = self.path / f"step-{step:06d}"
        temporary = self.path / f".{final.name}.tmp"
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
            save_tensors(temporary / "lora.safetensors", weights, {"format": "pt"})
            save_tensors(temporary / "state.safetensors", state)
            sums = "".join(f"{_sha256(p)}  {p.name}\n" for p in sorted(temporary.iterdir()))
            (temporary / "SHA256SUMS").write_text(sums)
            for file in [*temporary.iterdir(), temporary]:
                _flush(file)
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
            _flush(self.path)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise cannot_write(self.path, error) from error
        for old in self.checkpoints()[:-keep]:
            shutil.rmtree(old)
        return final

    def latest(self) -> tuple[int, dict[str, Tensor], dict[str, Tensor]] | None:
        """Step, LoRA weights and state of the last sound checkpoint; a damaged one is passed
        over for the one before."""
        for folder in reversed(self.checkpoints()):
            if _sound(folder):
                return (
                    int(folder.name[5:]),
                    load_file(folder / "lora.safetensors"),
                    load_file(folder / "state.safetensors"),
                )
        return None

    def rewind_log(self, step: int) -> list[LoggedEvent]:
        """Drops from the log what was done after the checkpoint of a step and will be done again;
        what was told up to there.

        A line that a kill cut short is dropped with them.
        """
        if not self.log.exists():
            return []
        whole = [
            line for line in self.log.read_text().splitlines(keepends=True) if line.endswith("\n")
        ]
        events: list[LoggedEvent] = [json.loads(line) for line in whole]
        kept = [line for line, event in zip(whole, events, strict=True) if event["step"] <= step]
        temporary = self.log.with_suffix(".tmp")
        temporary.write_text("".join(kept))
        temporary.rename(self.log)
        return [event for event in events if event["step"] <= step]

    def as_begun(self, spec: ResolvedTrainSpec) -> ResolvedTrainSpec:
        """The spec with what the run's first process chose in the place of "auto"."""
        chosen = (
            json.loads((self.path / PLAN).read_text())
            if (self.path / PLAN).exists() and self.checkpoints()
            else {}
        )
        return spec.model_copy(
            update={
                field: value for field, value in chosen.items() if getattr(spec, field) == "auto"
            }
        )

    def as_planned(self, spec: ResolvedTrainSpec) -> ResolvedTrainSpec:
        """The spec with what `begin` noted: every process of a training keeps the base alike."""
        chosen = json.loads((self.path / PLAN).read_text())
        return spec.model_copy(update=chosen)

    def begin(self, choice: Choice) -> None:
        """Notes how the base is kept, for as long as there are checkpoints."""
        (self.path / PLAN).write_text(
            json.dumps({field: getattr(choice, field) for field in CHOSEN})
        )

    def cache_of(self, process: int) -> Path:
        """Where a process keeps what its memory does not hold."""
        folder = self.cache / str(process)
        folder.mkdir(exist_ok=True)
        return folder

    def finish(self) -> None:
        """Leaves what is worth keeping once the LoRA is written."""
        shutil.rmtree(self.cache, ignore_errors=True)


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's tensors by `optimizer.INDEX.NAME`, the 8-bit optimiser's nested ones
    `optimizer.INDEX.NAME/NAME`, and what it has found out of a whole group by `group.INDEX.NAME`;
    numbers become float64 scalars."""
    whole = optimizer.state_dict()
    rows = {
        f"optimizer.{i}.{name}": value
        for i, row in whole["state"].items()
        for name, value in _flat(row).items()
    }
    rows |= {
        f"group.{i}.{name}": value
        for i, group in enumerate(whole["param_groups"])
        for name, value in group.items()
        if isinstance(value, bool | int | float | Tensor)
    }
    return {
        key: _tensor(value).contiguous().clone() for key, value in rows.items() if value is not None
    }


def restore_optimizer(optimizer: Optimizer, state: dict[str, Tensor]) -> None:
    """A group's number that a checkpoint does not have stays as it is."""
    rows: dict[int, dict[str, Any]] = {}
    groups: list[dict[str, Any]] = optimizer.state_dict()["param_groups"]
    for key, value in state.items():
        kind, _, rest = key.partition(".")
        index, _, name = rest.partition(".")
        if kind == "group":
            now = groups[int(index)].get(name)
            groups[int(index)][name] = value if isinstance(now, Tensor) else _number(value, now)
        if kind == "optimizer":
            outer, _, inner = name.partition("/")
            row = rows.setdefault(int(index), {})
            if inner:
                row.setdefault(outer, {})[inner] = value
            else:
                row[outer] = value
    optimizer.load_state_dict({"state": rows, "param_groups": groups})


def _number(value: Tensor, like: object) -> bool | int | float:
    """A float64 scalar as what it was made of; it may have grown from a whole number."""
    found = value.item()
    if isinstance(like, bool):
        return bool(found)
    return int(found) if isinstance(like, int) and found == int(found) else found


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    nested = {
        f"{outer}/{inner}": v
        for outer, value in row.items()
        if isinstance(value, dict)
        for inner, v in value.items()
    }
    return {name: value for name, value in row.items() if not isinstance(value, dict)} | nested


def to_toml(spec: TrainSpec) -> str:
    """The spec as a file that `--config` reads back."""
    import tomli_w

    return tomli_w.dumps({k: v for k, v in spec.model_dump(mode="json").items() if v is not None})


def _refuse_foreign(path: Path, run: Path, overwrite: bool) -> None:
    if path.is_file():
        raise InputError(f"{path} is a file: choose another folder with --out.")
    if not path.exists() or not any(path.iterdir()):
        return
    if not run.exists():
        raise InputError(f"{path} exists and is no training run: choose another folder with --out.")
    if (path / LORA).exists() and not overwrite:
        raise InputError(
            f"{path} holds a finished LoRA: choose another folder with --out, or add "
            "--overwrite to replace it."
        )


def _refuse_others(path: Path, run: Path, identity: dict[str, Any]) -> None:
    """Raises OtherRun if the folder holds an unfinished run of another spec or photos."""
    if not any(path.glob("step-*")):  # without a checkpoint there is nothing to lose
        return
    begun = json.loads(run.read_text())
    begun["spec"] = {
        name: begun["spec"].get(name, value.default)
        for name, value in ResolvedTrainSpec.model_fields.items()
        if name in identity["spec"]
    }
    if begun != identity:
        raise OtherRun(
            f"{path} holds an unfinished training with other settings or photos: repeat its "
            "command to resume it, choose another folder with --out, or add --overwrite to replace "
            "it."
        )


def _empty(path: Path) -> None:
    """Removes all of a run but the file that is locked."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != RUN:
            entry.unlink()


def _tensor(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():  # which cannot be opened there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sound(folder: Path) -> bool:
    """Whether every file of the hash list is there and unchanged."""
    sums = folder / "SHA256SUMS"
    if not sums.is_file():
        return False
    rows = [line.split("  ", 1) for line in sums.read_text().splitlines()]
    return len(rows) == 2 and all(
        (folder / name).is_file() and _sha256(folder / name) == digest for digest, name in rows
    )
