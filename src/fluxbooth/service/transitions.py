"""Changes of rows by the engine: when work begins, while it runs, and once, when it ends.

Each ending is one transaction that first asks whether the row still waits for it, so that work
which was done twice, or was cancelled or deleted meanwhile, changes nothing.
"""

from __future__ import annotations

import datetime
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.events import PlainFile, Prepared, SampleDrawn, Scored, Step
from fluxbooth.prompts.language import trigger_words
from fluxbooth.service import expiry, metering, reasons, safety
from fluxbooth.service.accounts import quotas
from fluxbooth.service.billing import ledger, prices
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Account, Image, Photo, Prompt, Tune, now
from fluxbooth.service.files import inventory, row_folders
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.priority import is_fast, needs_base, takes_long
from fluxbooth.service.jobs.queue import ALONE, JobEngine
from fluxbooth.service.prompts import drawing, ending, expansion, input_images, prompts, references
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import checkpoints, train_more, tunes, uploads
from fluxbooth.types import Json

MOST_DEATHS = 3
MOST_LOSSES = 500  # points of the curve that are kept for a page


@dataclass(frozen=True)
class Transitions:
    settings: Settings
    db: Database
    store: Store
    jobs: JobEngine

    def tune_wanted(self, number: int) -> bool:
        with self.db.read() as session:
            return _open_tune(session, number) is not None

    def prompt_wanted(self, number: int) -> bool:
        with self.db.read() as session:
            return _open_prompt(session, number) is not None

    def photos_to_fetch(self, number: int) -> list[tuple[int, str]]:
        with self.db.read() as session:
            rows = session.scalars(
                select(Photo)
                .where(Photo.tune_id == number, Photo.key.is_(None), Photo.url.is_not(None))
                .order_by(Photo.id)
            )
            return [(photo.id, photo.url or "") for photo in rows]

    def photo_fetched(self, number: int, photo_id: int, file: Path, judge: safety.Judge) -> None:
        """Keeps a photo that arrived and was looked at, if its tune is still wanted.

        Raises ServiceError where its account has no room for it.
        """
        with self.db.write() as session:
            if (tune := _open_tune(session, number)) and (photo := session.get(Photo, photo_id)):
                size, key = file.stat().st_size, f"{tune.folder}/photos/{photo_id}.jpg"
                quotas.check_room(
                    session, self.settings, session.get_one(Account, tune.account_id), size
                )
                photo.key, photo.bytes = key, size
                judge.tell(tune)
                session.flush()
                self.store.take(file, key)

    def photos_here(self, number: int) -> None:
        """A tune has all its photos: its training is due, or it is ready as it is."""
        with self.db.write() as session:
            tune = _open_tune(session, number)
            if tune is None:
                return
            if tune.model_type != references.FACEID:
                self.jobs.train(session, tune)
                return
            tunes.ready(session, self.settings, self.jobs, tune)
            self._enqueue_waiting(session, number)

    def begin_training(self, number: int) -> Json | None:
        """The request to the device process, or None if nobody waits for it any more."""
        with self.db.write() as session:
            tune = _open_tune(session, number)
            if tune is None:
                return None
            photos = [str(self.store.path(photo.key)) for photo in tune.photos if photo.key]
            spec = (
                tune.spec
                if tune.continues is None
                else {**tune.spec, "continue_from": str(self.store.path(train_more.start(tune)))}
            )
            return {
                "work": "train",
                "fast": is_fast(tune),
                "photos": photos,
                "spec": spec,
                "out": str(self._work(tune)),
                "look": self.settings.safety != "off",
                "hidden_from": (
                    self.settings.safety_threshold if self.settings.safety == "block" else None
                ),
            }

    def training_begun(self, number: int) -> None:
        """A device has come to it: until then it waits, even if it is handed over."""
        with self.db.write() as session:
            if tune := _open_tune(session, number):
                tune.started_training_at = tune.started_training_at or now()

    def progress(self, number: int, event: Step, losses: list[float]) -> None:
        with self.db.write() as session:
            if tune := _open_tune(session, number):
                kept = losses[:: -(-len(losses) // MOST_LOSSES)] if losses else []
                before = {k: v for k, v in tune.progress.items() if k != "interrupted"}
                tune.progress = before | {
                    "step": event["step"],
                    "steps": event["steps"],
                    "loss": event["loss"],
                    "steps_per_second": event["steps_per_second"],
                    "seconds_left": event["seconds_left"],
                    "losses": kept,
                    "samples": before.get("samples", 0),
                }
                tune.eta = now() + datetime.timedelta(seconds=event["seconds_left"])

    def prepared(self, number: int, event: Prepared) -> None:
        """Steps begin: of a training that was interrupted from its last checkpoint on, or anew (0)
        where it had none. The captions that it wrote are kept beside their photos."""
        resumed_at = event["resumed_at"]
        with self.db.write() as session:
            tune = _open_tune(session, number)
            if tune is None:
                return
            uploads.keep_captions(tune, self.store, event["captions"])
            if resumed_at or tune.progress.get("interrupted"):
                tune.progress = {
                    **tune.progress,
                    "resumed_at": resumed_at,
                    "interrupted": False,
                }

    def sampled(self, number: int, event: SampleDrawn) -> None:
        with self.db.write() as session:
            tune = _open_tune(session, number)
            if tune is None:
                return
            name = f"{tune.job}-{Path(event['path']).stem}"  # counted also where it is kept back
            metering.count(session, self.settings, tune.base, name, 1)
            if safety.published(self.settings, tune, event.get("explicit")):
                checkpoints.sampled(session, self.store, tune, event)

    def scored(self, number: int, event: Scored) -> None:
        """Keeps how good a checkpoint was found; said twice, after a kill, it is kept once."""
        with self.db.write() as session:
            if tune := _open_tune(session, number):
                checkpoints.scored(tune, event)
                name = f"{tune.job}-scored-{event['step']}"
                pictures = len(event["pictures"])
                metering.count(session, self.settings, tune.base, name, pictures)

    def warned(self, number: int, sentences: list[str]) -> None:
        """Keeps what a training says of its photos; said twice, after a kill, it is kept once."""
        with self.db.write() as session:
            if tune := _open_tune(session, number):
                tune.warnings = list(dict.fromkeys([*tune.warnings, *sentences]))

    def publish_tune(self, number: int, result: Json) -> None:
        """The LoRA goes into the store; the tune is trained, the prompts that wait for it are
        due, and so is its callback."""
        with self.db.write() as session:
            tune = _open_tune(session, number)
            if tune is None:
                return
            key, source = f"{tune.folder}/lora.safetensors", Path(result["lora"])
            if source.exists():
                self.store.take(source, key)
            finished = now()
            tune.lora = key
            tune.lora_bytes = self.store.size(key)
            tune.steps = result["steps"]
            tune.trained_at = finished
            tune.expires_at = expiry.expires_at(
                self.settings, finished, auto_extend=tune.auto_extend
            )
            tune.progress = {
                **tune.progress,
                "step": result["steps"],
                "steps": result["steps"],
                "seconds_left": 0,
            }
            tune.warnings = list(dict.fromkeys([*tune.warnings, *result.get("warnings", ())]))
            checkpoints.publish(session, self.store, tune, result)
            planned = result.get("planned", result["steps"])
            back = prices.untrained(tune.cost_mc, planned, result["steps"])
            tune.cost_mc -= back
            ledger.capture(session, tune.job, back)
            session.flush()
            self.jobs.callback(session, tune=tune)
            self._enqueue_waiting(session, number)

    def _enqueue_waiting(self, session: Session, number: int) -> None:
        """The prompts that waited for a tune are due."""
        waiting = select(Prompt).where(
            Prompt.uses.any(tune_id=number),
            Prompt.enqueued.is_(False),
            Prompt.deleted_at.is_(None),
        )
        for prompt in session.scalars(waiting.order_by(Prompt.id)):
            prompts.enqueue_if_due(session, self.jobs, prompt)

    def prompt_to_fetch_for(self, number: int) -> Prompt | None:
        """The prompt, if it starts from pictures that it knows by address."""
        with self.db.read() as session:
            prompt = _open_prompt(session, number)
            return prompt if prompt and input_images.missing(prompt) else None

    def inputs_fetched(self, number: int, files: dict[str, Path], judge: safety.Judge) -> None:
        """Keeps the pictures, by name, that a prompt starts from.

        Raises ServiceError where its account has no room for them.
        """
        with self.db.write() as session:
            if prompt := _open_prompt(session, number):
                size = sum(path.stat().st_size for path in files.values())
                quotas.check_room(
                    session, self.settings, session.get_one(Account, prompt.account_id), size
                )
                kept = {
                    name: f"{prompt.folder}/{name}{path.suffix}" for name, path in files.items()
                }
                prompt.fields = {
                    **prompt.fields,
                    input_images.FILES: {**prompt.fields.get(input_images.FILES, {}), **kept},
                }
                prompt.input_bytes += size
                judge.tell(prompt)
                session.flush()
                for name, path in files.items():
                    self.store.take(path, kept[name])

    def text_to_expand(self, number: int) -> tuple[str, list[str]] | None:
        """The text of a prompt that a longer one is wanted of, and its trigger words."""
        with self.db.read() as session:
            prompt = _open_prompt(session, number)
            if prompt is None or not expansion.missing(prompt):
                return None
            called = [use.tune for use in prompt.uses if use.tune.token]  # no reference pictures
            triggers = [trigger_words(tune.token or "", tune.name) for tune in called]
            return drawing.drawn_text(prompt), triggers

    def text_expanded(self, number: int, text: str) -> None:
        with self.db.write() as session:
            if prompt := _open_prompt(session, number):
                prompt.fields = {**prompt.fields, expansion.TEXT: text}

    def inputs_here(self, number: int) -> None:
        """A prompt has the pictures that it starts from: it is due."""
        with self.db.write() as session:
            if prompt := _open_prompt(session, number):
                self.jobs.prompt(session, prompt)

    def begin_drawing(self, number: int) -> Json | None:
        """The request to the device process, or None if nobody waits for it any more.

        What an attempt that died had shown stays: the next one draws the same.
        """
        with self.db.write() as session:
            prompt = _open_prompt(session, number)
            if prompt is None:
                return None
            loras = [
                f"{self.store.path(use.tune.lora)}:{use.weight}"
                for use in prompt.uses
                if use.tune.lora
            ]
            spec, out = {**prompt.spec, "loras": loras}, self._work(prompt)
            start = {
                name: str(self.store.path(key))
                for name, key in prompt.fields.get(input_images.FILES, {}).items()
            }
            looked_at = [str(self.store.path(key)) for key in references.photos(prompt)]
            if looked_at and needs_base(prompt):
                spec["references"] = looked_at
            if start:  # without a strength it is edited, where the base can
                edits = prompt.fields.get(references.EDITS)
                strength = None if edits else prompt.fields.get("denoising_strength")
                spec |= start | {"denoising_strength": strength}
            following = _next_prompt(session, number)
            soon = [
                str(self.store.path(use.tune.lora))
                for use in (following.uses if following else ())
                if use.tune.lora
            ]
            text, apart = drawing.drawn_text(prompt), not needs_base(prompt)
            return {
                "work": "generate",
                "fast": is_fast(prompt),
                "apart": apart,
                "alone": ALONE in prompt.fields,
                "long": apart and takes_long(prompt, self.store),
                "text": text,
                "spec": spec,
                "out": str(out),
                "soon": soon,
                "look": self.settings.safety != "off",
            }

    def drawing_begun(self, number: int) -> None:
        """As `training_begun`."""
        with self.db.write() as session:
            if prompt := _open_prompt(session, number):
                prompt.started_training_at = prompt.started_training_at or now()

    def draw_alone(self, number: int, reason: str) -> None:
        """A prompt that cannot be drawn beside a training is drawn after it, in the order of the
        trainings; its owner is told why."""
        with self.db.write() as session:
            if prompt := _open_prompt(session, number):
                prompt.fields = {**prompt.fields, ALONE: reason}
                self.jobs.alone(session, prompt)

    def publish_prompt(self, number: int, result: Json) -> None:
        with self.db.write() as session:
            prompt = _open_prompt(session, number)
            if prompt is None:
                return
            self._add_pictures(session, prompt, result["pictures"])
            prompt.trained_at = now()
            safety.kept_back(prompt, len(result["pictures"]))
            for advice in result.get("advice", ()):
                prompt.warn(advice["code"], advice["message"])
            ending.settle(session, self.settings.prices, prompt)
            session.flush()
            self.jobs.callback(session, prompt=prompt)

    def reset_crashes(self, number: int) -> None:
        """A training has a new checkpoint: the device processes that died before it no longer
        count, for it did not die of its own work."""
        with self.db.write() as session:
            if (tune := _open_tune(session, number)) and tune.deaths:
                tune.deaths = 0

    def drawn(self, number: int, pictures: list[PlainFile]) -> None:
        """Some of a prompt's pictures, for whoever looks on; the rest follows."""
        with self.db.write() as session:
            if prompt := _open_prompt(session, number):
                self._add_pictures(session, prompt, pictures)

    def _add_pictures(self, session: Session, prompt: Prompt, pictures: list[PlainFile]) -> None:
        known = {image.key for image in prompt.images}
        for picture in pictures:
            source = Path(picture["path"])
            key = f"{prompt.folder}/{source.name}"
            if needs_base(prompt):  # also one that is kept back: it was drawn
                name = f"{prompt.job}-{source.stem}"
                metering.count(session, self.settings, prompt.spec["base"], name, 1)
            if key in known or not safety.published(self.settings, prompt, picture.get("explicit")):
                continue
            if source.exists():
                self.store.take(source, key)
            prompt.images.append(
                Image(
                    name=secrets.token_urlsafe(24),
                    key=key,
                    bytes=self.store.size(key),
                    seed=picture["seed"],
                    width=picture["width"],
                    height=picture["height"],
                    recipe=picture["recipe"],
                    liked=prompt.liked,  # which a program may have said already
                )
            )

    def count_crash(self, kind: type[Tune] | type[Prompt], number: int) -> int:
        """Counts one more device process that died on a job; how many have since it got further."""
        with self.db.write() as session:
            row = session.get(kind, number)
            if row is None:  # deleted with its account
                return 0
            row.deaths += 1
            if isinstance(row, Tune):  # until its next step
                row.progress = {**row.progress, "interrupted": True}
            return row.deaths

    def fail_tune(self, number: int, reason: str) -> None:
        with self.db.write() as session:
            if tune := _open_tune(session, number):
                names = {
                    path: photo.filename or "a photo"
                    for photo in tune.photos
                    if photo.key
                    for path in self._paths(photo.key)
                }
                tunes.fail(session, self.jobs, tune, self._told(reason, names))

    def fail_prompt(self, number: int, reason: str) -> None:
        with self.db.write() as session:
            if prompt := _open_prompt(session, number):
                names = {
                    str(self.store.path(use.tune.lora)): f"the LoRA of tune {use.tune_id}"
                    for use in prompt.uses
                    if use.tune.lora
                }
                given = prompt.fields.get(input_images.FILES, {})
                called = {key: f"the {name}" for name, key in given.items()}
                called |= references.photos(prompt)
                names |= {path: what for key, what in called.items() for path in self._paths(key)}
                ending.fail(session, self.jobs, prompt, self._told(reason, names))

    def _paths(self, key: str) -> tuple[str, str]:
        """How a sentence may call a stored file."""
        path = self.store.path(key)
        return str(path), path.name

    def _told(self, reason: str, names: dict[str, str]) -> str:
        """A reason as the account may hear it."""
        bases = {base: Path(base).name for base in self.settings.served if base.startswith("/")}
        return reasons.told(reason, names | bases, self.settings.data)

    def tidy(self, kind: type[Tune] | type[Prompt], number: int) -> None:
        """Removes what a job that is over leaves: its work folder, and all that a device
        process still wrote of a row that was deleted."""
        with self.db.read() as session:
            row = session.get(kind, number)
            if row is not None and row.deleted_at is None:
                inventory.tidy(session, self.store, row)
            elif row is not None:
                self.store.remove(row.folder)
        if row is None:  # it went with its account, and took the name of its folder with it
            row_folders.sweep(self.db, self.store)

    def _work(self, row: Tune | Prompt) -> Path:
        """Where the device process works."""
        return self.store.path(f"{row.folder}/{inventory.WORK}")


def _open_tune(session: Session, number: int) -> Tune | None:
    """The tune if its training is still wanted."""
    tune = session.get(Tune, number)
    return tune if tune and tune.is_open else None


def _open_prompt(session: Session, number: int) -> Prompt | None:
    prompt = session.get(Prompt, number)
    return prompt if prompt and prompt.is_open else None


def _next_prompt(session: Session, number: int) -> Prompt | None:
    """What will probably be drawn after a prompt: the oldest of those that nobody has begun."""
    waiting = (
        Prompt.enqueued.is_(True),
        Prompt.started_training_at.is_(None),
        Prompt.deleted_at.is_(None),
        Prompt.id != number,
    )
    return session.scalars(select(Prompt).where(*waiting).order_by(Prompt.id).limit(1)).first()
