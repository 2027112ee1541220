"""Accounts and their keys. A key is shown once; only its digest is kept, keyed by a pepper that
lies beside the database.

The last letters of a key are a checksum of the rest: one that was cut or mistyped is told apart
from one that is not known, and scanners for leaked secrets can be sure of what they found.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import zlib
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.service.db.tables import Account, ApiKey, now
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.outgoing import webhooks
from fluxbooth.service.settings import Settings

PREFIX, PREFIX_LENGTH, LONGEST = "sd_", 12, 200
CHECK = 8  # letters of the checksum
SECRET, SECRET_BYTES = "secret", 32  # file of the data folder
# asked with every request, so it is put together once
_OWNER = (
    select(Account, ApiKey.digest)
    .join(ApiKey)
    .where(ApiKey.prefix == bindparam("prefix"), ApiKey.revoked_at.is_(None))
)


def new_pepper(data: Path) -> None:
    """Makes the secret of a new installation, readable by its user alone; one that is there
    stays."""
    unfinished = data / f"{SECRET}-{secrets.token_hex(8)}"
    try:
        write_secret(unfinished, secrets.token_bytes(SECRET_BYTES))
        with contextlib.suppress(FileExistsError):  # two that start at once have one secret
            os.link(unfinished, data / SECRET)
    finally:
        unfinished.unlink(missing_ok=True)


def write_secret(path: Path, secret: bytes) -> None:
    """A new file, readable by its user alone."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
        os.fsync(file.fileno())


def pepper(settings: Settings) -> bytes:
    """The secret of an installation: from its variable, the file that a variable names, or the
    data folder's own.

    Raises InputError if it is missing: a new one would make every key useless in silence.
    """
    if settings.secret is not None:
        return settings.secret.encode()
    data = settings.data
    if settings.secret_file is not None:
        return _given_secret(settings.secret_file)
    try:
        secret = (data / SECRET).read_bytes()
    except FileNotFoundError:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise InputError(
            f"The file {data / SECRET} is missing or empty, and without it no key or session of "
            "this server opens anything: put it back from a backup. If it is lost for good, write "
            f"a new one (`head -c {SECRET_BYTES} /dev/urandom > {data / SECRET}`), and make new "
            "keys with `fluxbooth key create`."
        )
    return secret


def _given_secret(path: Path) -> bytes:
    """A secret in a file that was written by hand, or copied from a data folder."""
    try:
        secret = path.read_bytes()
    except OSError as error:
        why = str(error.strerror).lower()
        raise InputError(f"FLUXBOOTH_SECRET_FILE, {path}, cannot be read ({why}).") from error
    # an editor ends the last line; what a data folder has is bytes of any kind
    secret = secret if len(secret) == SECRET_BYTES else secret.rstrip(b"\r\n")
    if len(secret) < SECRET_BYTES:
        raise InputError(
            f"FLUXBOOTH_SECRET_FILE, {path}, holds {len(secret)} bytes: a secret has "
            f"{SECRET_BYTES} or more."
        )
    return secret


def fingerprint(secret: bytes) -> str:
    """What tells one secret from another, and says nothing of it."""
    return digest("fingerprint", secret)


def create_account(session: Session, name: str) -> Account:
    """A new account. Raises InputError for a name that is taken, or that could be a number."""
    name = " ".join(name.split())
    if not name or name.isdecimal() or len(name) > LONGEST:
        raise InputError(
            f"{name!r} cannot be an account's name: take one with letters, up to {LONGEST} "
            "characters."
        )
    if session.scalar(select(Account.id).where(Account.name == name)) is not None:
        raise InputError(
            f"There is an account {name!r} already: `fluxbooth account list` shows them."
        )
    account = Account(name=name, webhook_secret=webhooks.new_secret())
    session.add(account)
    session.flush()
    return account


def find(session: Session, name: str) -> Account:
    """An account by its name or number. Raises InputError if there is none."""
    by = (
        Account.id == int(name)
        if name.isascii() and name.isdecimal() and len(name) < 19
        else Account.name == name
    )
    account = session.scalar(select(Account).where(by, Account.deleted_at.is_(None)))
    if account is None:
        raise InputError(f"There is no account {name!r}: `fluxbooth account list` shows them.")
    return account


def disable(account: Account, disabled: bool) -> None:
    """Lets nobody in with its keys and sessions any more, or again.

    What was accepted is finished.
    """
    account.disabled_at = now() if disabled else None


def check_enabled(account: Account) -> None:
    """Raises ServiceError (403) for an account that is disabled."""
    if account.disabled_at:
        raise ServiceError("This account is disabled: ask the operator of the server.", 403)


def create_key(session: Session, account: Account, label: str, secret: bytes) -> str:
    """A new key in clear; it cannot be shown again."""
    key = PREFIX + secrets.token_urlsafe(32)
    key += checksum(key)
    session.add(
        ApiKey(
            account_id=account.id,
            prefix=key[:PREFIX_LENGTH],
            digest=digest(key, secret),
            label=label[:100],
        )
    )
    return key


def is_operator(session: Session, account: Account) -> bool:
    """Whether it is the account of whoever runs the server: the first."""
    return account.id == session.scalar(select(func.min(Account.id)))


def change(
    session: Session, account: Account, *, idempotent: bool, auto_extend: bool, face_crop: bool
) -> None:
    """How the account's requests are taken from now on: repeated ones as one, new tunes as kept
    for good, and with close-ups of faces."""
    row = session.get_one(Account, account.id)
    row.idempotent, row.auto_extend, row.face_crop = idempotent, auto_extend, face_crop


def keys_of(session: Session, account: Account) -> Sequence[ApiKey]:
    """The account's keys, newest first, revoked ones too."""
    return session.scalars(
        select(ApiKey).where(ApiKey.account_id == account.id).order_by(ApiKey.id.desc())
    ).all()


def revoke_key(session: Session, prefix: str, account: Account | None = None) -> None:
    """Makes a key useless; with an account, only one of its own."""
    asked = select(ApiKey).where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None))
    row = session.scalar(asked.where(ApiKey.account_id == account.id) if account else asked)
    if row is None:
        raise InputError(
            f"There is no key that begins with {prefix!r}: `fluxbooth key list` shows them."
        )
    row.revoked_at = now()


def checksum(text: str) -> str:
    """Of a key without its last letters: CRC-32, in eight hexadecimal digits."""
    return f"{zlib.crc32(text.encode()):0{CHECK}x}"


def is_whole(key: str) -> bool:
    """Whether it can be a key at all, as far as its letters tell."""
    return (
        key.startswith(PREFIX)
        and len(key) <= LONGEST
        and key.isascii()
        and key[-CHECK:] == checksum(key[:-CHECK])
    )


def account_of(session: Session, header: str | None, secret: bytes) -> Account | None:
    """Whom an Authorization header belongs to, if its key is one of ours and not revoked."""
    scheme, _, key = (header or "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not is_whole(key):
        return None
    found = session.execute(_OWNER, {"prefix": key[:PREFIX_LENGTH]}).first()
    return found[0] if found and hmac.compare_digest(found[1], digest(key, secret)) else None


def digest(key: str, secret: bytes) -> str:
    """What rows keep of a secret that was handed out: useless without the pepper."""
    return hmac.new(secret, key.encode(), hashlib.sha256).hexdigest()
