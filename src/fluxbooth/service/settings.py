"""Every setting of the service, read from FLUXBOOTH_* variables; flags of `fluxbooth serve` win."""

from __future__ import annotations

import functools
import os
import urllib.parse
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fluxbooth.errors import InputError
from fluxbooth.models import registry
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.contract.public_bases import FLUX2_KLEIN, FLUX_DEV, FLUX_KREA, NUMBERS

MB = 2**20
# variables that would have files elsewhere, which this version cannot
ELSEWHERE = {
    "FLUXBOOTH_STORAGE_URL": "files are kept in a folder",
}
# requests a second: with fewer, what ten seconds bring is not one request
LEAST_PACE = 0.1
OWN = "own"  # of a base_tune_id: the server's own base


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="FLUXBOOTH_", extra="ignore", frozen=True)

    data: Path = Field(
        default=Path.home() / ".local" / "share" / "fluxbooth",
        description="folder of the database, photos, LoRAs and pictures",
    )
    database_url: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^postgresql://",
        description=(
            "address of a PostgreSQL database for the rows, postgresql://USER:PASSWORD@HOST/NAME; "
            "by default they are in SQLite, in the data folder"
        ),
    )
    secret: str | None = Field(
        default=None,
        repr=False,
        min_length=32,
        description=(
            "what keys, links and sessions are made good with, 32 characters or more; by default "
            "the file `secret` of the data folder, made at the first start"
        ),
    )
    secret_file: Path | None = Field(
        default=None, description="file with that secret, instead of FLUXBOOTH_SECRET"
    )
    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=1, le=65535, description="port to listen on")
    base: str = Field(
        default="nano",
        description=(
            "the server's own base, which trains, and draws where no other is named: nano, "
            "flux2-klein, flux-dev or the path of one of your own"
        ),
    )
    devices: str | None = Field(
        default=None,
        pattern=r"^\w[\w-]*(,\w[\w-]*)*$",
        description=(
            "what the work is done on, one job on each at a time: GPUs by number or UUID with "
            "commas, cpu, or cpu,cpu; by default every GPU, or the CPU"
        ),
    )
    public_url: str | None = Field(
        default=None,
        description="address that clients reach the service at; by default http://HOST:PORT",
    )
    trusted_proxies: str = Field(
        default="127.0.0.1",
        description="addresses whose X-Forwarded-* headers are believed, with commas",
    )
    flux_dev_license: Literal["noncommercial", "commercial"] | None = Field(
        default=None,
        description=(
            "which licence of FLUX.1-dev, or FLUX.2 [klein] 9B, you hold; must be stated before "
            "it is served. "
            "noncommercial: without prices; commercial: with FLUXBOOTH_BFL_KEY"
        ),
    )
    bfl_key: str | None = Field(
        default=None,
        repr=False,
        pattern=r"^[\x21-\x7e]+$",
        description=(
            "key of Black Forest Labs' API, where the pictures of FLUX.1-dev are reported under a "
            "commercial licence"
        ),
    )
    bfl_url: str = Field(
        default="https://api.bfl.ai", pattern=r"^https?://", description="address of that API"
    )
    private_network: bool = Field(
        default=False, description="let image_urls and callbacks reach private addresses"
    )
    require_trigger: bool = Field(
        default=True,
        description="refuse a prompt that uses a LoRA but lacks its trigger words (`ohwx man`)",
    )
    lora_download: bool = Field(
        default=False,
        description=(
            "let the API hand out trained LoRA files; the licence of FLUX.1-dev forbids handing "
            "its LoRAs to third parties"
        ),
    )
    base_tunes: dict[int, str] = Field(
        default={},
        description=(
            "base of each base_tune_id, as JSON; own stands for the server's own base, as flux-dev "
            "does where that is a FLUX.1. By default the numbers of the own base's kind; all are "
            "nano if the own base is"
        ),
    )
    image_mb: int = Field(default=25, ge=1, description="largest uploaded file")
    request_mb: int = Field(default=1024, ge=1, description="largest request")
    expiry_days: int = Field(
        default=30,
        ge=1,
        description="days after training until a tune and its pictures are deleted",
    )
    checkpoints: int = Field(
        default=4,
        ge=0,
        le=20,
        description=(
            "checkpoints of a training that are kept to choose from, each with three samples; 0: "
            "only its end, without samples"
        ),
    )
    consent: str | None = Field(
        default=None,
        description="what whoever trains in the web app must agree to, in a sentence or two",
    )
    safety: Literal["off", "flag", "block"] = Field(
        default="off",
        description=(
            "what becomes of pictures that look explicit, given or drawn: off: nobody looks; flag: "
            "they are noted for their owner and the operator; block: they are refused, or kept "
            "back and not charged (needs fluxbooth[safety]). Must be stated where FLUX.1-dev is "
            "served, whose licence asks for a filter"
        ),
    )
    safety_threshold: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="how explicit a picture must look for that: 0.2 is strict, 0.8 is sure",
    )
    anthropic_api_key: str | None = Field(
        default=None,
        repr=False,
        description="key of the Claude API, which writes themes' prompts and describes photos",
    )
    anthropic_url: str | None = Field(
        default=None, description="address of the Claude API, if it is another than Anthropic's"
    )
    theme_model: str = Field(
        default="claude-sonnet-5-5", description="model that writes the prompts of themes"
    )
    theme_seconds: float = Field(
        default=25.0,
        gt=1,
        le=300,
        description="longest time that the prompts of a theme may take to write",
    )
    theme_composer: bool = Field(
        default=False,
        description="without a key, let the built-in composer write the prompts of themes",
    )
    inspect_model: str = Field(
        default="claude-haiku-5-5",
        description=(
            "model that describes the photos of /images/inspect, and proposes captions on the page "
            "New where somebody asks it to; none: no photo is sent to it"
        ),
    )
    inspect_seconds: float = Field(
        default=2.5,
        gt=0,
        le=300,
        description=(
            "time in which a photo is described; what Claude has not said by then is left out"
        ),
    )
    prices: Prices = Field(
        default=Prices(),
        description=(
            "price list in millicents (100,000 are a dollar), as JSON: a training step by preset, "
            "a picture, its megapixels, its options"
        ),
    )
    waiting_jobs: int = Field(
        default=0,
        ge=0,
        description="most trainings and prompts that an account may have waiting; 0: no limit",
    )
    stored_mb: int = Field(
        default=0,
        ge=0,
        description="most that an account's photos, LoRAs and pictures may take; 0: no limit",
    )
    requests_per_second: float = Field(
        default=0.0,
        ge=0,
        description=(
            "requests that a second brings each account, of which it may save ten seconds' "
            "worth; 0: no limit, else at least 0.1"
        ),
    )
    metrics: Literal["key", "open", "off"] = Field(
        default="key",
        description=(
            "who may read /metrics: key: whoever has a key of the operator's account, the first; "
            "open: anybody"
        ),
    )

    @field_validator("secret_file")
    @classmethod
    def _only_one(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is not None and info.data.get("secret") is not None:
            raise ValueError("FLUXBOOTH_SECRET is set, too: set one of them")
        return path

    @field_validator("requests_per_second")
    @classmethod
    def _lets_somebody_in(cls, pace: float) -> float:
        if 0 < pace < LEAST_PACE:
            raise ValueError(f"would shut everybody out: set {LEAST_PACE:g} or more, or 0")
        return pace

    @property
    def bases(self) -> dict[int, str]:
        """The base_tune_ids that are served, each with what it stands for: the server's own first,
        where the settings do not say otherwise."""
        return self.base_tunes or _usual(self.base)

    def base_of(self, number: int) -> str:
        """The base that draws for a base_tune_id."""
        named = self.bases.get(number, OWN)
        own = named == OWN or (named == "flux-dev" and branch_of(self.base) == "flux1")
        return self.base if self.stand_in or own else named

    @property
    def own_number(self) -> int:
        """The base_tune_id of the server's own base, which is meant where none is named."""
        numbers = list(self.bases)
        return next((one for one in numbers if self.base_of(one) == self.base), numbers[0])

    @property
    def references(self) -> int:
        """How many pictures a prompt may look at that names no base."""
        return registry.find(self.base).references

    @property
    def stand_in(self) -> bool:
        """Whether the small model of the package answers for every public base."""
        return self.base == "nano"

    @property
    def served(self) -> set[str]:
        """Every base that trains or draws here."""
        return {self.base, *map(self.base_of, self.bases)}

    @property
    def device_list(self) -> list[str]:
        return self.devices.split(",") if self.devices else []

    @property
    def database(self) -> Path:
        return self.data / "fluxbooth.sqlite"

    @property
    def rows_url(self) -> str:
        """Where the rows are, as SQLAlchemy and the job engine write it."""
        return self.database_url or f"sqlite:///{self.database}"

    @property
    def rows_place(self) -> str:
        """How a sentence calls that: without its password."""
        if self.database_url is None:
            return str(self.database)
        parts = urllib.parse.urlsplit(self.database_url)
        return f"postgresql://{parts.hostname or ''}{parts.path}"

    @property
    def url(self) -> str:
        """Where clients reach the service, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")


@functools.cache
def branch_of(base: str) -> str:
    """The kind of a base; of one that cannot be found, which is told elsewhere, that of most."""
    try:
        return registry.find(base).branch
    except InputError:
        return "flux1"


def _usual(base: str) -> dict[int, str]:
    """The base_tune_ids of a server by its own base. Clients that were written for the public API
    send the number of FLUX.1-dev whatever they want drawn: it always stands for the own base."""
    if branch_of(base) == "flux1":
        return {FLUX_DEV: OWN, FLUX_KREA: "flux-krea"}
    return {NUMBERS.get(base, FLUX2_KLEIN): OWN, FLUX_DEV: OWN}


def read_settings(**flags: object) -> Settings:
    """The settings, flags before variables.

    Raises InputError with one sentence for the first that will not do.
    """
    for name, how in ELSEWHERE.items():
        if os.environ.get(name):
            raise InputError(
                f"{name} will not do: in this version {how}, on the host's own disk: unset it, and "
                "name the folder by FLUXBOOTH_DATA."
            )
    try:
        given = {name: value for name, value in flags.items() if value is not None}
        return Settings(**given)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "FLUXBOOTH_" + "_".join(str(part) for part in first["loc"]).upper()
        raise InputError(
            f"{name} will not do ({first['msg'].lower()}): "
            f"{Settings.model_fields[str(first['loc'][0])].description}."
        ) from None
