"""The operator's commands for accounts and their money, beside a running server."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from fluxbooth.cli import output
from fluxbooth.cli.operate import data_flags, opened
from fluxbooth.cli.options import verbs
from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.service import account_data, backups
from fluxbooth.service.accounts import accounts, people, quotas
from fluxbooth.service.billing import ledger
from fluxbooth.service.db.tables import Account
from fluxbooth.service.files import reserve
from fluxbooth.service.files.signed_urls import Signer
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.settings import MB
from fluxbooth.types import Json

DEFAULT = "default"


def create(options: argparse.Namespace) -> Json:
    settings, database = opened(options, new=True)
    with database.write() as session:
        account = accounts.create_account(session, options.name)
        made = accounts.create_key(session, account, "first", accounts.pepper(settings))
        result = {"id": account.id, "name": account.name, "key": made}
    output.show(options, [made])
    return result


def listing(options: argparse.Namespace) -> Json:
    _, database = opened(options)
    with database.read() as session:
        rows = [dataclasses.asdict(person) for person in people.listed(session)]
    lines = [f"{'id':>6}  {'name':30}{'balance':>12}{'waiting':>9}{'MB':>9}"]
    lines += [
        f"{r['id']:6}  {r['name']:30}{ledger.dollars(r['balance_mc']):>12}{r['waiting']:9}"
        f"{r['stored_bytes'] / MB:9.1f}{'  disabled' if r['disabled'] else ''}"
        for r in rows
    ]
    output.show(options, lines)
    return {"accounts": rows}


def check(options: argparse.Namespace) -> Json:
    """`account check`: the balances that are kept, held to the rows of the ledger."""
    _, database = opened(options)
    with database.read() as session:
        wrong = ledger.wrong(session)
    if wrong:
        said = ", ".join(
            f"account {number} is said to have {ledger.dollars(kept)}, its rows come to "
            f"{ledger.dollars(total)}"
            for number, kept, total in wrong
        )
        raise FluxboothError(f"The books are wrong: {said}. Restore a backup, or ask for help.")
    output.show(options, ["Every balance is the sum of its rows."])
    return {"wrong": []}


def switch(options: argparse.Namespace) -> Json:
    """`account disable|enable`."""
    _, database = opened(options)
    with database.write() as session:
        account = accounts.find(session, options.account)
        accounts.disable(account, options.verb == "disable")
        return {"id": account.id, "disabled": account.disabled_at is not None}


def limit(options: argparse.Namespace) -> Json:
    """`account limits`: changes those that are named, and shows them. None, shown as `default`,
    is what the server's settings say."""
    _, database = opened(options)
    asked = {name: value for name in quotas.LIMITS if (value := getattr(options, name)) is not None}
    with database.write() as session:
        account = accounts.find(session, options.account)
        for name, value in asked.items():
            setattr(account, name, None if value == DEFAULT else value)
        own = {name: getattr(account, name) for name in quotas.LIMITS}
        result = {"id": account.id, "limits": own}
    output.show(
        options,
        [
            f"{name:20}  {DEFAULT if value is None else value or 'no limit'}"
            for name, value in own.items()
        ],
    )
    return result


def _limit(name: str) -> Callable[[str], Any]:
    """A limit as it is typed: a number of 0 or more, or `default`."""

    def read(text: str) -> Any:
        if text == DEFAULT:
            return text
        try:
            return quotas.read_limit(name, text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def export(options: argparse.Namespace) -> Json:
    settings, database = opened(options)
    with database.read() as session:
        account = accounts.find(session, options.account)
    store, out = Store(settings.data), Path(options.out)
    if options.out == "-" and options.json:
        raise InputError(
            "Standard output cannot hold both a zip and JSON: leave out --json, or name a file."
        )
    try:
        if options.out == "-" or out.suffix.lower() == ".zip":
            stream = sys.stdout.buffer if options.out == "-" else _new_file(out)
            sink = account_data.Zip(stream)
            count = account_data.export(database, store, account.id, sink)
            sink.close()
            stream.flush() if options.out == "-" else stream.close()
        else:
            if out.exists() and any(out.iterdir()):
                raise InputError(
                    f"{out} exists and is not empty: name a new folder, or a .zip file."
                )
            count = account_data.export(database, store, account.id, account_data.Folder(out))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FluxboothError(
            f"The export to {out} ended half-way ({error.strerror}): remove what is there, and "
            "make room or name another place."
        ) from error
    return {"export": options.out, "files": count}


def _new_file(path: Path) -> Any:
    try:
        return path.open("xb")
    except OSError as error:
        raise InputError(
            f"{path} cannot be made ({error.strerror}): name a new file in a folder that you "
            "may write to."
        ) from error


def delete(options: argparse.Namespace) -> Json:
    settings, database = opened(options)
    store = Store(settings.data)
    jobs = JobEngine(settings, Signer(accounts.pepper(settings), settings.url))
    with database.read() as session:
        account = accounts.find(session, options.account)
        size = quotas.stored(session, account.id) / MB
    if not options.yes:
        raise InputError(
            f"This deletes account {account.name} and its {size:.1f} MB of files for ever: "
            "say it again with --yes."
        )

    def hidden(session: Session) -> list[str]:
        account_data.close(session, session.get_one(Account, account.id), settings.prices)
        return []

    reserve.delete(database, store, hidden)
    account_data.purge(database, store, jobs, account.id)
    held = backups.holding(settings, account.id)
    lines = [
        f"The backup {row['path']} of {row['made_at']} still holds it; its files were to "
        f"expire {_until(row)}."
        for row in held
    ]
    output.show(options, lines or ["No backup that this server knows of holds it."])
    return {"deleted": account.id, "backups": held}


def _until(row: Json) -> str:
    return f"by {row['expires_at']}" if row["expires_at"] else "never by themselves"


def credit(options: argparse.Namespace) -> Json:
    _, database = opened(options)
    amount = ledger.millicents(options.amount)
    with database.write() as session:
        account = accounts.find(session, options.account)
        ledger.credit(session, account, amount, options.reference)
        balance = ledger.balance(session, account.id)
    output.show(options, [f"{account.name} has {ledger.dollars(balance)}."])
    return {"id": account.id, "usd_balance_mc": balance}


def account_flags(parser: argparse.ArgumentParser) -> None:
    below = verbs(parser)
    new = below.add_parser("create", help="make an account and show its first key once")
    new.add_argument("name", metavar="NAME")
    data_flags(new, create)
    data_flags(
        below.add_parser("list", help="the accounts: balance, waiting jobs, stored bytes"), listing
    )
    data_flags(below.add_parser("check", help="hold every balance to its ledger"), check)
    for verb, words in (
        ("disable", "refuse its keys and sessions; accepted work is finished"),
        ("enable", "let it in again"),
    ):
        data_flags(_of_account(below.add_parser(verb, help=words)), switch)
    limits = _of_account(
        below.add_parser(
            "limits", help="what it may take, if not what all may; without flags, shows it"
        )
    )
    for name, words in (
        ("requests-per-second", "requests a second"),
        ("waiting-jobs", "trainings and prompts that may wait"),
        ("stored-mb", "megabytes of photos, LoRAs and pictures"),
    ):
        limits.add_argument(
            f"--{name}",
            type=_limit(name.replace("-", "_")),
            metavar="N",
            help=f"{words}; 0: no limit; {DEFAULT}: as the settings say",
        )
    data_flags(limits, limit)
    out = _of_account(below.add_parser("export", help="hand out all that it has: rows and files"))
    out.add_argument(
        "out",
        metavar="OUT",
        help="a new folder, a new .zip file, or - for a zip on standard output",
    )
    data_flags(out, export)
    gone = _of_account(
        below.add_parser(
            "delete", help="delete it with everything; its ledger stays, without a name"
        )
    )
    gone.add_argument("--yes", action="store_true", help="do it")
    data_flags(gone, delete)


def credit_flags(parser: argparse.ArgumentParser) -> None:
    _of_account(parser)
    parser.add_argument(
        "amount", metavar="AMOUNT", help="dollars, as 25 or 4.50; a negative amount takes back"
    )
    parser.add_argument(
        "--reference",
        metavar="TEXT",
        help="of the payment: the same one counts once, however often it is said",
    )
    data_flags(parser, credit)


def _of_account(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("account", metavar="ACCOUNT", help="its name or number")
    return parser
