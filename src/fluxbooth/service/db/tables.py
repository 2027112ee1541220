"""The rows. A tune is a subject learnt, or to be learnt; a prompt is a text drawn, or to be drawn;
an image is one picture of it.

States follow from times alone. A tune is queued, training (started_training_at), trained
(trained_at) or failed (failed_at); a prompt is queued, running (started_training_at) or done
(trained_at), and failed if it has a user_error, too. deleted_at hides a row at once.
"""

from __future__ import annotations

import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    and_,
    false,
    text,
)
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from fluxbooth.prompts.language import Advice
from fluxbooth.service.db.columns import Filed, Id, Utc, now
from fluxbooth.types import Json

FIRST_TUNE = 5_000_000  # above the ids of public bases, which clients send as numbers
FIRST_TEMPLATE = 1_000_000_000  # above the ids of prompts, which templates made of them keep
# `Tune.is_open` and `Prompt.is_open` in the words of their indexes
OPEN_TUNE = text("trained_at IS NULL AND failed_at IS NULL AND deleted_at IS NULL")
OPEN_PROMPT = text("trained_at IS NULL AND deleted_at IS NULL")
ENDED = text("kind IN ('capture', 'refund')")


class Row(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime.datetime: Utc,
        Json: JSON,
        list[str]: JSON,
    }


class Installation(Row):
    """One row, where hosts could be pointed at one database: what they must agree on."""

    __tablename__ = "installation"
    id: Mapped[int] = mapped_column(primary_key=True)
    secret_fingerprint: Mapped[str] = mapped_column(String(64))
    folder: Mapped[str] = mapped_column(
        String(32)
    )  # what the data folder with its files calls itself


class Account(Row):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    # its argon2 hash; without one, only a link signs in
    password: Mapped[str | None] = mapped_column(String(200))
    webhook_secret: Mapped[str] = mapped_column(String(100))
    # signs too, for a day after the other was made
    webhook_secret_before: Mapped[str | None] = mapped_column(String(100))
    webhook_secret_since: Mapped[datetime.datetime | None]
    # the same title, or the same prompt, is the same row
    idempotent: Mapped[bool] = mapped_column(default=False)
    # of new tunes that do not say
    face_crop: Mapped[bool] = mapped_column(default=False, server_default=false())
    auto_extend: Mapped[bool] = mapped_column(default=False)
    # of its own, instead of what the settings say; 0: no limit
    requests_per_second: Mapped[float | None]
    waiting_jobs: Mapped[int | None]
    stored_mb: Mapped[int | None]
    # the sum of its rows in the ledger, which a trigger of the database moves with each of them
    balance_mc: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)
    disabled_at: Mapped[datetime.datetime | None]  # its keys and sessions are refused
    # all that is left is this row, nameless, and the ledger
    deleted_at: Mapped[datetime.datetime | None]


class Movement(Row):
    """A line of the ledger, in millicents.

    What an account has is the sum of its lines; `billing/ledger.py` alone writes them.
    """

    __tablename__ = "ledger"
    __table_args__ = (
        UniqueConstraint("job", "kind"),
        # captured or refunded, never both
        Index("one_end_of_a_job", "job", unique=True, sqlite_where=ENDED, postgresql_where=ENDED),
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    job: Mapped[str] = mapped_column(String(100))  # tune-7, prompt-9, credit-REFERENCE
    kind: Mapped[str] = mapped_column(String(10))  # credit, hold, capture, refund
    amount_mc: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)


class ApiKey(Row):
    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    prefix: Mapped[str] = mapped_column(String(16), unique=True)  # found by, and shown in lists
    digest: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(100), default="")
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime.datetime | None]


class Tune(Filed, Row):
    __tablename__ = "tunes"
    __table_args__ = (
        Index("tunes_of_account", "account_id", "id"),
        Index("open_tunes", "account_id", sqlite_where=OPEN_TUNE, postgresql_where=OPEN_TUNE),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    title: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(String(60))
    token: Mapped[str | None] = mapped_column(String(40))
    model_type: Mapped[str] = mapped_column(String(20))  # lora, faceid
    branch: Mapped[str] = mapped_column(String(20))  # flux1, flux2, fast
    base: Mapped[str] = mapped_column(Text)  # name of the base that trains and draws it
    base_tune_id: Mapped[int] = mapped_column(Id)
    preset: Mapped[str | None] = mapped_column(String(40))
    steps: Mapped[int | None]
    spec: Mapped[Json] = mapped_column(default=dict)
    characteristics: Mapped[Json] = mapped_column(default=dict)
    callback: Mapped[str | None] = mapped_column(Text)
    face_crop: Mapped[bool] = mapped_column(default=False)
    training_face_correct: Mapped[bool] = mapped_column(default=False, server_default=false())
    auto_extend: Mapped[bool] = mapped_column(default=False)
    imported: Mapped[bool] = mapped_column(default=False)
    # the tune from whose LoRA its training went on
    continues: Mapped[int | None] = mapped_column(Id)
    # to one another: what its samples' likeness is to be held to
    likeness_of_photos: Mapped[float | None]
    lora: Mapped[str | None] = mapped_column(Text)  # key of the file in the store
    # of what its training ended with
    lora_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # held when it was accepted
    cost_mc: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    deaths: Mapped[int] = mapped_column(default=0)  # device processes that died on it
    progress: Mapped[Json] = mapped_column(default=dict)
    # sentences about its photos and training
    warnings: Mapped[list[str]] = mapped_column(default=list, server_default=text("'[]'"))
    # the operator's words that whoever gave the photos agreed to
    consent: Mapped[str | None] = mapped_column(Text)
    consented_at: Mapped[datetime.datetime | None]
    # a photo of it looks explicit
    flagged: Mapped[bool] = mapped_column(default=False, server_default=false())
    eta: Mapped[datetime.datetime | None]
    user_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime.datetime] = mapped_column(default=now, onupdate=now)
    started_training_at: Mapped[datetime.datetime | None]
    trained_at: Mapped[datetime.datetime | None]
    failed_at: Mapped[datetime.datetime | None]
    expires_at: Mapped[datetime.datetime | None]
    deleted_at: Mapped[datetime.datetime | None]
    photos: Mapped[list[Photo]] = relationship(order_by="Photo.id")

    @hybrid_property
    def is_open(self) -> bool:
        """Whether its training is wanted and not over."""
        return not (self.trained_at or self.failed_at or self.deleted_at)

    @is_open.inplace.expression
    @classmethod
    def _is_open(cls) -> ColumnElement[bool]:
        return and_(cls.trained_at.is_(None), cls.failed_at.is_(None), cls.deleted_at.is_(None))

    @property
    def job(self) -> str:
        """What the engine and the ledger call its training."""
        return f"tune-{self.id}"


class Photo(Row):
    __tablename__ = "photos"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    tune_id: Mapped[int] = mapped_column(ForeignKey("tunes.id"), index=True)
    # what the client called it; pairs captions, names no file
    filename: Mapped[str] = mapped_column(String(200))
    url: Mapped[str | None] = mapped_column(Text)  # still to be fetched if there is no key
    key: Mapped[str | None] = mapped_column(Text)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")


class Prompt(Filed, Row):
    __tablename__ = "prompts"
    __table_args__ = (
        Index("prompts_of_account", "account_id", "id"),
        Index("open_prompts", "account_id", sqlite_where=OPEN_PROMPT, postgresql_where=OPEN_PROMPT),
        {"sqlite_autoincrement": True},
    )
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    tune_id: Mapped[int] = mapped_column(Id, index=True)  # of the base it is drawn on
    text: Mapped[str] = mapped_column(Text)
    callback: Mapped[str | None] = mapped_column(Text)
    num_images: Mapped[int] = mapped_column(default=1)
    # everything else that was asked, by the contract's names
    fields: Mapped[Json] = mapped_column(default=dict)
    spec: Mapped[Json] = mapped_column(default=dict)  # GenerateSpec, without the LoRA files
    advice: Mapped[list[Json]] = mapped_column(JSON, default=list)
    # what makes a repeated prompt the same
    signature: Mapped[str] = mapped_column(String(64), index=True)
    deaths: Mapped[int] = mapped_column(default=0)
    liked: Mapped[bool] = mapped_column(default=False)
    # its own and those of the prompts made from it
    likes: Mapped[int] = mapped_column(default=0, server_default="0")
    pack_id: Mapped[int | None] = mapped_column(Id)  # the pack that it is a template of
    # the pack, template and order that it was made from
    base_pack_id: Mapped[int | None] = mapped_column(Id)
    orig_prompt_id: Mapped[int | None] = mapped_column(Id)
    order_id: Mapped[int | None] = mapped_column(Id, index=True)
    # false while it waits for a tune to be trained
    enqueued: Mapped[bool] = mapped_column(default=False)
    # a picture that it starts from, or one that was drawn, looks explicit
    flagged: Mapped[bool] = mapped_column(default=False, server_default=false())
    # of the pictures that it starts from
    input_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # held when it was accepted
    cost_mc: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    user_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime.datetime] = mapped_column(default=now, onupdate=now)
    started_training_at: Mapped[datetime.datetime | None]
    trained_at: Mapped[datetime.datetime | None]
    deleted_at: Mapped[datetime.datetime | None]
    images: Mapped[list[Image]] = relationship(order_by="Image.id")
    uses: Mapped[list[Use]] = relationship(order_by="Use.position")

    @hybrid_property
    def is_open(self) -> bool:
        """Whether its pictures are wanted and not drawn; it may still wait for a tune."""
        return not (self.trained_at or self.deleted_at)

    @is_open.inplace.expression
    @classmethod
    def _is_open(cls) -> ColumnElement[bool]:
        return and_(cls.trained_at.is_(None), cls.deleted_at.is_(None))

    @property
    def job(self) -> str:
        """What the engine and the ledger call its drawing."""
        return f"prompt-{self.id}"

    def warn(self, code: str, sentence: str) -> None:
        """Adds to what its owner is told, once."""
        if all(advice["message"] != sentence for advice in self.advice):
            self.advice = [*self.advice, Advice(code, sentence, 0, 0).to_json()]


class Use(Row):
    """A tune that a prompt uses, and how strongly."""

    __tablename__ = "uses"
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"), primary_key=True)
    tune_id: Mapped[int] = mapped_column(ForeignKey("tunes.id"), primary_key=True, index=True)
    position: Mapped[int]
    weight: Mapped[float]
    tune: Mapped[Tune] = relationship()


class Image(Row):
    __tablename__ = "images"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"), index=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)  # unguessable, in its public address
    key: Mapped[str] = mapped_column(Text)
    seed: Mapped[int] = mapped_column(Id)
    width: Mapped[int]
    height: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    recipe: Mapped[Json] = mapped_column(default=dict)
    liked: Mapped[bool] = mapped_column(default=False, server_default=false())


class Removal(Row):
    """A file in the folder of a row that stays, which no row names any more; the row goes once the
    file is certainly gone."""

    __tablename__ = "removals"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    key: Mapped[str] = mapped_column(Text)


class Pack(Row):
    """Texts that go together, to be drawn of anybody.

    Public to every account, and without a key, from public_at on.
    """

    __tablename__ = "packs"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    slug: Mapped[str] = mapped_column(String(100), unique=True)
    title: Mapped[str] = mapped_column(Text)
    subtitle: Mapped[str] = mapped_column(Text, default="")
    base_tune_id: Mapped[int] = mapped_column(Id)
    # it names no base: it is drawn on the server's own, whichever that is by then
    own_base: Mapped[bool] = mapped_column(default=False, server_default=false())
    model_type: Mapped[str] = mapped_column(String(20), default="lora")
    token: Mapped[str] = mapped_column(String(40), default="ohwx")
    preset: Mapped[str | None] = mapped_column(String(40))
    cover: Mapped[str | None] = mapped_column(Text)  # address of a picture
    public_at: Mapped[datetime.datetime | None]
    unlisted_at: Mapped[datetime.datetime | None]
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime.datetime] = mapped_column(default=now, onupdate=now)


class Template(Row):
    """A text of a pack, for subjects of one class.

    One that was made of a prompt has the prompt's id, text and fields.
    """

    __tablename__ = "templates"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    pack_id: Mapped[int] = mapped_column(ForeignKey("packs.id"), index=True)
    class_name: Mapped[str] = mapped_column(String(60))
    token: Mapped[str] = mapped_column(String(40))
    tune_id: Mapped[int | None] = mapped_column(Id)  # whose LoRA tag the text holds
    text: Mapped[str] = mapped_column(Text)
    num_images: Mapped[int] = mapped_column(default=1)
    fields: Mapped[Json] = mapped_column(default=dict)
    likes: Mapped[int] = mapped_column(default=0)
    # in its pack; of equal ones the older comes first
    position: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)


class Order(Row):
    """One run of a pack. Its callback goes out once, when none of its prompts is open any more."""

    __tablename__ = "orders"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    # None once the pack's account is deleted
    pack_id: Mapped[int | None] = mapped_column(ForeignKey("packs.id"))
    callback: Mapped[str | None] = mapped_column(Text)
    called_at: Mapped[datetime.datetime | None]
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)


class Callback(Row):
    __tablename__ = "callbacks"
    # also the webhook-id that receivers know it by
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    tune_id: Mapped[int | None] = mapped_column(ForeignKey("tunes.id"), index=True)
    prompt_id: Mapped[int | None] = mapped_column(ForeignKey("prompts.id"), index=True)
    url: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)
    delivered_at: Mapped[datetime.datetime | None]
    failed_at: Mapped[datetime.datetime | None]


class Idempotency(Row):
    """An answer kept under the client's Idempotency-Key; without a status, its first request is
    still under way."""

    __tablename__ = "idempotency"
    __table_args__ = (UniqueConstraint("account_id", "key"),)
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    key: Mapped[str] = mapped_column(String(255))
    request: Mapped[str] = mapped_column(String(64))  # digest of method, path and body
    status: Mapped[int | None]
    body: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)


class Link(Row):
    """A sign-in link that was handed out: good once, for a while."""

    __tablename__ = "links"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime.datetime]
    used_at: Mapped[datetime.datetime | None]


class WebSession(Row):
    """A browser that is signed in. The cookie holds an opaque id, the row only its digest."""

    __tablename__ = "web_sessions"
    id: Mapped[int] = mapped_column(Id, primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime.datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime.datetime]
