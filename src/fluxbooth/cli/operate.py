"""The operator's commands beside a running server: keys, callbacks, imports, backups. They work
on the data folder."""

from __future__ import annotations

import argparse
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from fluxbooth.cli import output
from fluxbooth.cli.options import verbs
from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.service import backups, opening
from fluxbooth.service.accounts import accounts, web_sessions
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import TuneForm
from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Account, ApiKey
from fluxbooth.service.errors import NotFound
from fluxbooth.service.files.signed_urls import Signer
from fluxbooth.service.files.store import Store
from fluxbooth.service.installation import address_of, first_account, last_url
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.service.tunes import checks, tunes
from fluxbooth.types import Json

# of a data folder, all that a restored server needs
KEPT = ("fluxbooth.sqlite", accounts.SECRET, "files")


def key(options: argparse.Namespace) -> Json:
    """`key create|link|list|revoke`."""
    settings, database = opened(options, new=options.verb in ("create", "link"))
    with database.write() as session:
        account = _account(session, options.account)
        if options.verb == "create":
            made = accounts.create_key(session, account, options.label, accounts.pepper(settings))
            output.show(options, [made])
            return {"key": made}
        if options.verb == "link":
            token = web_sessions.new_link(session, account, accounts.pepper(settings))
            link = address_of(options.url or last_url(settings), token)
            output.show(options, [link])
            return {"link": link}
        if options.verb == "revoke":
            accounts.revoke_key(session, options.prefix)
            return {"revoked": options.prefix}
        both = select(ApiKey, Account.name).join(Account, Account.id == ApiKey.account_id)
        rows = [
            {
                "prefix": row.prefix,
                "account": name,
                "label": row.label,
                "created_at": row.created_at.isoformat(),
                "revoked": row.revoked_at is not None,
            }
            for row, name in session.execute(both.order_by(ApiKey.id))
        ]
    lines = [
        f"{r['prefix']}...  {r['created_at'][:10]}  {r['account']:20}  "
        f"{'revoked' if r['revoked'] else r['label']}"
        for r in rows
    ]
    output.show(options, lines)
    return {"keys": rows}


def callbacks_command(options: argparse.Namespace) -> Json:
    """`callbacks list|replay|secret`: what was told to whom, telling it again, and what it is
    signed with."""
    settings, database = opened(options)
    if options.verb == "secret":
        with database.write() as session:
            account = _account(session, options.account)
            keys = callbacks.secrets_of(
                callbacks.rotate(session, account) if options.new else account
            )
        output.show(options, keys[:1])
        return {"secret": keys[0], "before": keys[1] if len(keys) > 1 else None}
    if options.verb == "replay":
        jobs = JobEngine(settings, Signer(accounts.pepper(settings), settings.url))
        with database.write() as session:
            try:
                callbacks.replay(session, jobs, None, options.id)
            except NotFound:
                raise InputError(
                    f"There is no callback {options.id}: `fluxbooth callbacks list` shows them."
                ) from None
        return {"replayed": options.id}
    with database.read() as session:
        rows = [
            {
                "id": row.id,
                "about": callbacks.about(row),
                "url": row.url.split("?")[0],
                "state": callbacks.state(row),
                "attempts": row.attempts,
                "error": row.last_error,
            }
            for row in callbacks.listed(session, None, options.limit)
        ]
    output.show(
        options,
        [
            f"{r['id']}  {r['state']:9}  {r['attempts']:2}  {r['about']:12}  {r['url']}  "
            f"{r['error'] or ''}"
            for r in rows
        ],
    )
    return {"callbacks": rows}


@dataclass(frozen=True)
class _File:
    path: Path
    filename: str


def import_lora(options: argparse.Namespace) -> Json:
    """`lora import`: a LoRA from elsewhere becomes a tune that prompts can use."""
    settings, database = opened(options)
    jobs = JobEngine(settings, Signer(accounts.pepper(settings), settings.url))
    store = Store(settings.data)
    source = Path(options.file)
    if not source.is_file():
        raise InputError(f"There is no file {source}: give the path of a .safetensors file.")
    copy = store.incoming / f"{secrets.token_hex(8)}.safetensors"
    try:
        shutil.copy(source, copy)
        form = TuneForm.read(
            {"title": options.title or source.stem, "name": options.name, "token": options.token}
        )
        checks.check_lora(settings, form, _File(copy, source.name))
        with database.write() as session:
            account = _account(session, options.account)
            tune = tunes.create(
                Context(session, account, settings, store, jobs),
                form,
                [],
                lora_file=_File(copy, source.name),
            )
            made = {
                "id": tune.id,
                "title": tune.title,
                "use": f"<lora:{tune.id}:1.0> {tune.token} {tune.name}",
            }
    finally:
        copy.unlink(missing_ok=True)
    output.show(options, [f"Tune {made['id']}. Use it in a prompt: {made['use']} ..."])
    return made


def backup(options: argparse.Namespace) -> Json:
    """A whole copy in a new folder, while the server runs: rows and files as of one moment."""
    _on_sqlite(options)
    settings, database = opened(options)
    out = Path(options.out)
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} exists and is not empty: name a new folder.")
    try:
        made = backups.make(settings, database, Store(settings.data), out.absolute())
    except OSError as error:
        raise FluxboothError(
            f"The backup to {out} ended half-way ({error.strerror}): remove what is there, "
            "and make room."
        ) from error
    return {"backup": str(out), **made}


def restore(options: argparse.Namespace) -> Json:
    """The reverse of a backup, into a data folder that holds nothing yet."""
    settings, source = _on_sqlite(options), Path(options.source)
    for name in KEPT:
        if not (source / name).exists():
            raise InputError(f"{source} is no backup, or not a whole one: it has no {name}.")
    if settings.data.exists() and any(settings.data.iterdir()):
        raise InputError(f"{settings.data} is not empty: name a new folder with --data.")
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in KEPT:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copy2
        copy(source / name, settings.data / name)
    opening.opened(settings)
    return {"data": str(settings.data)}


def _on_sqlite(options: argparse.Namespace) -> Settings:
    """The settings. Raises InputError where the rows are elsewhere than in the data folder."""
    settings = read_settings(data=options.data)
    if settings.database_url:
        raise InputError(
            f"Backups are of the rows in a data folder, and these are in {settings.rows_place}: "
            "stop the server, and copy its data folder together with what pg_dump writes."
        )
    return settings


def _account(session: Session, name: str | None) -> Account:
    """The one that was named, else the owner of the installation."""
    if name is not None:
        return accounts.find(session, name)
    return session.scalar(
        select(Account).where(Account.deleted_at.is_(None)).order_by(Account.id)
    ) or first_account(session)


def opened(options: argparse.Namespace, *, new: bool = False) -> tuple[Settings, Database]:
    """The server's rows; `new`: where there are none yet, they begin.

    Raises InputError for a folder without any, so that one which was mistyped stays as it is.
    """
    settings = read_settings(data=options.data)
    # files without their rows are told of by what opens them
    begun = (settings.database, settings.data / "files", settings.data / opening.FOLDER)
    if not (new or any(path.exists() for path in begun)):
        raise InputError(
            f"There is no server's data in {settings.data}: name its folder with --data, or begin "
            "there with `fluxbooth serve`."
        )
    return settings, opening.opened(settings)


def key_flags(parser: argparse.ArgumentParser) -> None:
    below = verbs(parser)
    create = below.add_parser("create", help="make a key and show it once")
    create.add_argument("--label", default="", help="what it is for")
    create.add_argument(
        "--account", metavar="ACCOUNT", help="name or number of the account (default: the owner)"
    )
    link = below.add_parser("link", help="a link that signs a browser in to the web app, once")
    link.add_argument("--url", help="where the server is reached, if not where it listens")
    link.add_argument(
        "--account", metavar="ACCOUNT", help="name or number of the account (default: the owner)"
    )
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
    secret = below.add_parser("secret", help="show what an account's callbacks are signed with")
    secret.add_argument("--account", metavar="ACCOUNT", help="whose (default: the owner's)")
    secret.add_argument(
        "--new", action="store_true", help="make it anew; the one before signs too, for a day"
    )
    for verb in below.choices.values():
        data_flags(verb, callbacks_command)


def import_lora_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="a LoRA in any format that is read (docs/generating.md)"
    )
    parser.add_argument(
        "--name", required=True, help="class word of its subject: man, woman, dog, bag"
    )
    parser.add_argument("--token", help="its rare word (default: ohwx)")
    parser.add_argument("--title", help="what to call the tune (default: the file's name)")
    parser.add_argument(
        "--account", metavar="ACCOUNT", help="whose tune it becomes (default: the owner's)"
    )
    data_flags(parser, import_lora)


def backup_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="folder to make")
    data_flags(parser, backup)


def restore_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="BACKUP", help="folder that a backup made")
    data_flags(parser, restore)


def data_flags(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], Json]) -> None:
    parser.add_argument(
        "--data", metavar="DIR", help="the server's folder (default: ~/.local/share/fluxbooth)"
    )
    output.output_flags(parser)
    parser.set_defaults(run=_told(run))


def _told(run: Callable[[argparse.Namespace], Json]) -> Callable[[argparse.Namespace], Json]:
    """The command, with what the disk refuses in a sentence."""

    def told(options: argparse.Namespace) -> Json:
        with opening.faults_said(read_settings(data=options.data)):
            return run(options)

    return told
