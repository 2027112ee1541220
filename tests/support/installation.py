"""The service without its processes: rows, files and the queue, driven by the very functions
that the processes call."""

from __future__ import annotations

import contextlib
import datetime
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.service import expiry
from fluxbooth.service.accounts import accounts
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm, TuneForm
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Account, Callback, Prompt, Tune
from fluxbooth.service.files.signed_urls import Signer
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.prompts import prompts
from fluxbooth.service.settings import Settings
from fluxbooth.service.transitions import Transitions
from fluxbooth.service.tunes import tunes

PHOTO = sorted(PHOTOS.glob("*.png"))[0]


def files_of(files: Path, place: str) -> list[Path]:
    """What lies in the folder of a row, given as `tunes/7`, by its number alone: the row may be
    gone."""
    kind, _, number = place.partition("/")
    folders = [
        folder
        for folder in (files / kind).glob(f"{number}*")
        if folder.name.partition("-")[0] == number
    ]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def calling(data: Path, account: str, urls: Sequence[str]) -> None:
    """Callbacks of an account, which is made if there is none, that are due now."""
    settings = Settings(data=data)
    jobs = JobEngine(settings, Signer(b"", ""))
    with (
        contextlib.closing(Database(settings.rows_url)) as database,
        database.write() as session,
    ):
        row = session.scalar(
            select(Account).where(Account.name == account)
        ) or accounts.create_account(session, account)
        for url in urls:
            callback = Callback(
                id=f"msg_{secrets.token_hex(12)}", account_id=row.id, url=url, body="{}"
            )
            session.add(callback)
            session.flush()
            jobs.deliver(session, callback, 1, 0.0)
    jobs.close()


@dataclass(frozen=True)
class Sent:
    """A file that a request brought."""

    path: Path
    filename: str


@dataclass(frozen=True)
class Installation:
    settings: Settings
    results: Transitions

    def account(self, **options: bool) -> int:
        with self.results.db.write() as session:
            account = accounts.create_account(session, f"somebody {secrets.token_hex(4)}")
            for name, value in options.items():
                setattr(account, name, value)
            session.flush()
            return account.id

    def write(self, account: int, work: Callable[[Session, Account], Any]) -> Any:
        with self.results.db.write() as session:
            return work(session, session.get_one(Account, account))

    def tune(self, account: int, title: str, **fields: Any) -> int:
        photo = self.results.store.incoming / f"{secrets.token_hex(8)}.part"
        shutil.copy(PHOTO, photo)
        form = TuneForm.read({"title": title, "name": "man", "branch": "fast", **fields})
        results = self.results

        def work(session: Session, owner: Account) -> int:
            made = tunes.create(
                Context.of(results, session, owner),
                form,
                [Sent(photo, "a.png")],
            )
            return made.id

        try:
            return self.write(account, work)
        finally:
            photo.unlink()

    def prompt(self, account: int, target: int, text: str, **fields: Any) -> int:
        form, results = PromptForm.read({"text": text, **fields}), self.results
        return self.write(
            account,
            lambda s, owner: prompts.create(Context.of(results, s, owner), form, target=target).id,
        )

    def trained(self, tune: int) -> None:
        """What the engine does when the device process has answered, with a file of some bytes for a
        LoRA."""
        request = self.results.begin_training(tune)
        assert request is not None
        self.results.training_begun(tune)
        self.results.publish_tune(tune, self.made(request, "lora.safetensors"))
        self.results.tidy(Tune, tune)

    def drawn(self, prompt: int) -> None:
        request = self.results.begin_drawing(prompt)
        assert request is not None
        self.results.drawing_begun(prompt)
        self.results.publish_prompt(prompt, self.pictures(request))
        self.results.tidy(Prompt, prompt)

    def sweep(self, moment: datetime.datetime) -> None:
        """What the engine does every hour."""
        expiry.sweep(self.results.db, self.results.store, self.results.jobs, moment)

    def sampled(self, tune: int, step: int, number: int) -> None:
        """What the engine does with a picture that the device process drew on its way."""
        source = self.results.store.path(
            f"{self.row(Tune, tune).folder}/work/run/samples/step-{step:06d}-{number}.png"
        )
        source.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PHOTO, source)
        self.results.sampled(
            tune,
            {
                "event": "sample",
                "step": step,
                "path": str(source),
                "text": f"ohwx man, text {number}",
            },
        )

    def made(self, request: dict[str, Any], name: str) -> dict[str, Any]:
        """A training's result, on disk where the device process would have left it."""
        out = Path(request["out"])
        out.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"weights")
        return {
            "lora": str(out / name),
            "steps": 30,
            "stages": [str(path) for path in sorted((out / "stages").glob("*"))],
        }

    def pictures(self, request: dict[str, Any]) -> dict[str, Any]:
        """A drawing's result, on disk where the device process would have left it."""
        out, told = Path(request["out"]), list[dict[str, Any]]()
        out.mkdir(parents=True, exist_ok=True)
        for i in range(request["spec"]["num_images"]):
            (out / f"{i}.jpg").write_bytes(b"\xff\xd8picture")
            told.append(
                {
                    "path": str(out / f"{i}.jpg"),
                    "seed": 1 + i,
                    "width": 128,
                    "height": 128,
                    "recipe": {},
                }
            )
        return {"pictures": told}

    def shown(self, prompt: int, count: int) -> None:
        """What the engine does while a prompt is drawn: so many of its pictures are published."""
        request = self.results.begin_drawing(prompt)
        if request is not None:
            self.results.drawn(prompt, self.pictures(request)["pictures"][:count])

    def row(self, kind: type[Tune] | type[Prompt], number: int) -> Any:
        with self.results.db.read() as session:
            return session.get_one(kind, number)

    def told(self, prompt: int) -> list[Callback]:
        with self.results.db.read() as session:
            return list(session.scalars(select(Callback).where(Callback.prompt_id == prompt)))

    def files(self, place: str) -> list[str]:
        """Names of what lies in the folder of a row, given as `tunes/7`."""
        return sorted(path.name for path in files_of(self.results.store.folder, place))
