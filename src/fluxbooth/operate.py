"""The operator's commands beside a running server: keys, callbacks, imports, backups. They work on the data folder."""

from __future__ import annotations

import argparse
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.options import common_flags, verbs
from fluxbooth.serve import address_of, first_account, last_url
from fluxbooth.service import accounts, db, signing_in, tunes
from fluxbooth.service import callbacks as known
from fluxbooth.service.errors import NotFound
from fluxbooth.service.jobs import JobEngine
from fluxbooth.service.links import Signer
from fluxbooth.service.schemas import TuneForm
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.service.store import Store
from fluxbooth.service.tables import Account, ApiKey

Json = dict[str, Any]
KEPT = ("fluxbooth.sqlite", "secret", "files")  # of a data folder, all that a restored server needs


def key(options: argparse.Namespace) -> Json:
    """`key create|link|list|revoke`."""
    settings, database = opened(options)
    with database.write() as session:
        account = _account(session, options.account)
        if options.verb == "create":
            made = accounts.create_key(session, account, options.label, accounts.pepper(settings.data))
            if not options.json:
                print(made)
            return {"key": made}
        if options.verb == "link":
            token = signing_in.new_link(session, account, accounts.pepper(settings.data))
            link = address_of(options.url or last_url(settings), token)
            if not options.json:
                print(link)
            return {"link": link}
        if options.verb == "revoke":
            accounts.revoke_key(session, options.prefix)
            return {"revoked": options.prefix}
        both = select(ApiKey, Account.name).join(Account, Account.id == ApiKey.account_id)
        rows = [
            {
                "prefix": row.prefix, "account": name, "label": row.label, "created_at": row.created_at.isoformat(),
                "revoked": row.revoked_at is not None,
            }
            for row, name in session.execute(both.order_by(ApiKey.id))
        ]  # fmt: skip
    lines = [f"{r['prefix']}...  {r['created_at'][:10]}  {r['account']:20}  {'revoked' if r['revoked'] else r['label']}" for r in rows]
    show(options, lines)
    return {"keys": rows}


def callbacks(options: argparse.Namespace) -> Json:
    """`callbacks list|replay`: what was told to whom, and telling it again."""
    settings, database = opened(options)
    if options.verb == "replay":
        jobs = JobEngine(settings, Signer(accounts.pepper(settings.data), settings.url))
        with database.write() as session:
            try:
                known.replay(session, jobs, None, options.id)
            except NotFound:
                raise InputError(f"There is no callback {options.id}: `fluxbooth callbacks list` shows them.") from None
        return {"replayed": options.id}
    with database.read() as session:
        rows = [
            {
                "id": row.id, "about": known.about(row), "url": row.url.split("?")[0], "state": known.state(row), "attempts": row.attempts,
                "error": row.last_error,
            }
            for row in known.listed(session, None, options.limit)
        ]  # fmt: skip
    show(options, [f"{r['id']}  {r['state']:9}  {r['attempts']:2}  {r['about']:12}  {r['url']}  {r['error'] or ''}" for r in rows])
    return {"callbacks": rows}


@dataclass(frozen=True)
class _File:
    path: Path
    filename: str


def import_lora(options: argparse.Namespace) -> Json:
    """`lora import`: a LoRA from elsewhere becomes a tune that prompts can use."""
    settings, database = opened(options)
    jobs, store = JobEngine(settings, Signer(accounts.pepper(settings.data), settings.url)), Store(settings.data)
    source = Path(options.file)
    if not source.is_file():
        raise InputError(f"There is no file {source}: give the path of a .safetensors file.")
    copy = store.incoming / f"import-{source.stat().st_ino}.safetensors"
    shutil.copy(source, copy)
    try:
        form = TuneForm.read({"title": options.title or source.stem, "name": options.name, "token": options.token})
        with database.write() as session:
            account = _account(session, options.account)
            tune = tunes.create(session, settings, store, jobs, account, form, [], lora_file=_File(copy, source.name))
            made = {"id": tune.id, "title": tune.title, "use": f"<lora:{tune.id}:1.0> {tune.token} {tune.name}"}
    finally:
        copy.unlink(missing_ok=True)
    show(options, [f"Tune {made['id']}. Use it in a prompt: {made['use']} ..."])
    return made


def backup(options: argparse.Namespace) -> Json:
    """A whole copy in a new folder, while the server runs: the rows as of one moment, then the files that they name."""
    settings, _ = opened(options)
    out = Path(options.out)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} exists and is not empty: name a new folder.")
    out.mkdir(parents=True, exist_ok=True, mode=0o700)
    with sqlite3.connect(settings.database) as source, sqlite3.connect(out / settings.database.name) as target:
        source.backup(target)
    shutil.copy2(settings.data / "secret", out / "secret")
    shutil.copytree(settings.data / "files", out / "files", ignore=shutil.ignore_patterns("work", "*.tmp"), dirs_exist_ok=True)
    return {"backup": str(out), "bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file())}


def restore(options: argparse.Namespace) -> Json:
    """The reverse of a backup, into a data folder that holds nothing yet."""
    settings, source = read_settings(data=options.data), Path(options.source)
    if not (source / KEPT[0]).is_file():
        raise InputError(f"{source} is no backup: it has no {KEPT[0]}.")
    if settings.data.exists() and any(settings.data.iterdir()):
        raise InputError(f"{settings.data} is not empty: name a new folder with --data.")
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in KEPT:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy2
        copy(source / name, settings.data / name)
    db.migrate(settings)
    return {"data": str(settings.data)}


def _account(session: Session, name: str | None) -> Account:
    """The one that was named, else the owner of the installation."""
    if name is not None:
        return accounts.find(session, name)
    return session.scalar(select(Account).where(Account.deleted_at.is_(None)).order_by(Account.id)) or first_account(session)


def opened(options: argparse.Namespace) -> tuple[Settings, db.Database]:
    settings = read_settings(data=options.data)
    db.migrate(settings)
    return settings, db.Database(settings.database_url)


def show(options: argparse.Namespace, lines: list[str]) -> None:
    if not options.json:
        print("\n".join(lines))


def key_flags(parser: argparse.ArgumentParser) -> None:
    below = verbs(parser)
    create = below.add_parser("create", help="make a key and show it once")
    create.add_argument("--label", default="", help="what it is for")
    create.add_argument("--account", metavar="ACCOUNT", help="name or number of the account (default: the owner)")
    link = below.add_parser("link", help="a link that signs a browser in to the web app, once")
    link.add_argument("--url", help="where the server is reached, if not where it listens")
    link.add_argument("--account", metavar="ACCOUNT", help="name or number of the account (default: the owner)")
    below.add_parser("list", help="the keys by their first letters")
    revoke = below.add_parser("revoke", help="make a key useless")
    revoke.add_argument("prefix", metavar="PREFIX", help="the first letters, as `list` shows them")
    for verb in below.choices.values():
        verb.set_defaults(account=None)
        data_flags(verb, key)


def callbacks_flags(parser: argparse.ArgumentParser) -> None:
    below = verbs(parser)
    listing = below.add_parser("list", help="the newest callbacks and what became of them")
    listing.add_argument("--limit", type=int, default=50, help="how many (default: 50)")
    replay = below.add_parser("replay", help="deliver one again, under its own id")
    replay.add_argument("id", metavar="ID")
    for verb in below.choices.values():
        data_flags(verb, callbacks)


def import_lora_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a LoRA in diffusers' format")
    parser.add_argument("--name", required=True, help="class word of its subject: man, woman, dog, bag")
    parser.add_argument("--token", help="its rare word (default: ohwx)")
    parser.add_argument("--title", help="what to call the tune (default: the file's name)")
    parser.add_argument("--account", metavar="ACCOUNT", help="whose tune it becomes (default: the owner's)")
    data_flags(parser, import_lora)


def backup_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder to make")
    data_flags(parser, backup)


def restore_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="BACKUP", help="folder that a backup made")
    data_flags(parser, restore)


def data_flags(parser: argparse.ArgumentParser, run: object) -> None:
    parser.add_argument("--data", metavar="DIR", help="the server's folder (default: ~/.local/share/fluxbooth)")
    common_flags(parser)
    parser.set_defaults(run=run)
