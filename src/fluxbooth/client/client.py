"""A client of Fluxbooth, and of any server that speaks the Astria API: typed results, progress,
errors of one sentence.

    client = fluxbooth.Client("http://127.0.0.1:8000", "sd_...")
    tune = client.tunes.create("Ann", "woman", ["1.jpg", "2.jpg", "3.jpg", "4.jpg"])
    tune = client.tunes.wait(tune, progress=print)
    prompt = client.prompts.wait(client.prompts.create(tune, "at the beach, smiling", num_images=4))
    client.download(prompt, "pictures")

Only the fields of the public contract are counted on; everything that the server said is in `raw`.
"""

from __future__ import annotations

import contextlib
import datetime
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from fluxbooth import retry_after
from fluxbooth.client.types import (
    ApiError,
    Pack,
    Progress,
    Prompt,
    Resource,
    Tune,
    bracketed,
    refused,
)
from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.types import Json, is_list

if TYPE_CHECKING:
    import httpx
else:
    try:
        import httpx
    # said when a client is made, so that the whole package can be imported without it
    except ImportError:
        httpx = None

__all__ = ["ApiError", "Client", "Pack", "Progress", "Prompt", "Tune"]

Source = str | Path
R = TypeVar("R", bound=Resource)
PAGE, ATTEMPTS, LONGEST_WAIT = 100, 5, 120.0
POLL = (1.0, 5.0)  # seconds between two looks, at first and in the end
TRANSIENT = frozenset({429, 500, 502, 503, 504})
SUFFIXES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}
FLUX_DEV = 1504944


class Client:
    """Speaks to one server with one key. Not for use by several threads at once.

    `client.tunes`, `client.prompts` and `client.packs` hold the verbs. Every one raises ApiError
    for an answer that is no success, and FluxboothError if the server cannot be reached. What
    changes nothing is tried again after a lost connection or a busy server; what creates something,
    only when the server said that it was too busy to take it.

    Args:
        base_url: The server's address, with http:// or https://.
        api_key: The account's key; it is sent to that address only.
        timeout: Seconds for one answer.

    Raises:
        InputError: For an address that is none.
    """

    def __init__(self, base_url: str, api_key: str, *, timeout: float = 60.0) -> None:
        if httpx is None:
            raise InputError(
                "The client needs a package that is not here (httpx): pip install "
                "'fluxbooth[client]'."
            )
        self.base_url = base_url.rstrip("/")
        if not self.base_url.startswith(("http://", "https://")):
            raise InputError(f"The address {base_url!r} does not begin with http:// or https://.")
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}", "Accept": "application/json"},
            timeout=timeout,
        )
        # pictures may lie elsewhere, where the key has no business
        self._pictures = httpx.Client(timeout=timeout, follow_redirects=True)
        self.tunes, self.prompts, self.packs = Tunes(self), Prompts(self), Packs(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; a `with` block does it, too."""
        self._http.close()
        self._pictures.close()

    def download(self, prompt: Prompt | int, folder: Source) -> tuple[Path, ...]:
        """The pictures of a finished prompt as files `ID-0.jpg`, `ID-1.jpg` and so on of the
        folder; each whole or not there."""
        shown = prompt if isinstance(prompt, Prompt) else self.prompts.get(prompt)
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        return tuple(
            self._picture(url, target / f"{shown.id}-{i}") for i, url in enumerate(shown.images)
        )

    def _picture(self, url: str, target: Path) -> Path:
        answer = self._exchange(self._pictures, "GET", url)
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind.startswith("image/"):
            raise FluxboothError(
                f"The address {url} gave no picture but {kind or 'something without a type'}."
            )
        path = target.with_name(target.name + SUFFIXES.get(kind, ".img"))
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            part.write_bytes(answer.content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def ask(self, method: str, path: str, **request: Any) -> Any:
        """One call of the API, for what has no verb here: `client.ask("GET", "/users")`. The
        answer's JSON, {} for an empty one."""
        answer = self._exchange(self._http, method, self.base_url + path, **request)
        if not answer.content:
            return {}
        try:
            return answer.json()
        except ValueError:
            raise ApiError(
                f"{self.base_url}{path} did not answer with JSON: is this the address of the API?",
                answer.status_code,
            ) from None

    def _exchange(
        self, http: httpx.Client, method: str, url: str, **request: Any
    ) -> httpx.Response:
        for attempt in range(ATTEMPTS):
            pause = 0.5 * 2**attempt
            try:
                answer = http.request(method, url, **request)
            except httpx.HTTPError as error:
                if method != "GET" or attempt + 1 == ATTEMPTS:
                    raise FluxboothError(
                        f"{url} cannot be reached ({error or type(error).__name__}): is the "
                        "server running?"
                    ) from error
            except httpx.InvalidURL as error:
                raise InputError(f"The address {url!r} will not do: {error}.") from error
            else:
                if answer.is_success:
                    return answer
                again = answer.status_code == 429 or (
                    method == "GET" and answer.status_code in TRANSIENT
                )
                if not again or attempt + 1 == ATTEMPTS:
                    raise refused(answer.status_code, _json(answer), url)
                pause = max(pause, _seconds(answer.headers.get("retry-after")))
            time.sleep(min(pause, LONGEST_WAIT))
        raise AssertionError("unreachable")

    def post_with_photos(self, path: str, tune: Json, photos: Sequence[Source]) -> Any:
        """Posts a tune, with files as multipart or with addresses as JSON."""
        addresses = [
            str(photo) for photo in photos if str(photo).startswith(("http://", "https://"))
        ]
        if len(addresses) == len(photos):
            return self.ask(
                "POST",
                path,
                json={"tune": {**tune, "image_urls": addresses} if addresses else tune},
            )
        if addresses:
            raise InputError("Give photos either as files or as addresses, not both at once.")
        with contextlib.ExitStack() as opened:
            try:
                files = [
                    (
                        "tune[images][]",
                        (Path(photo).name, opened.enter_context(Path(photo).open("rb"))),
                    )
                    for photo in photos
                ]
            except OSError as error:
                raise InputError(
                    f"The photo {error.filename} cannot be read: {error.strerror}."
                ) from error
            return self.ask("POST", path, data=bracketed("tune", tune), files=files)

    def inspect(self, photo: Source, name: str = "") -> Json:
        """What a photo is good for, before a tune is made of it: `blurry`, `low_resolution` and
        what else the server can tell.

        `name`: the class that it should show.
        """
        if str(photo).startswith(("http://", "https://")):
            return self.ask("POST", "/images/inspect", json={"name": name, "file_url": str(photo)})
        try:
            with Path(photo).open("rb") as file:
                return self.ask(
                    "POST",
                    "/images/inspect",
                    data={"name": name},
                    files={"file": (Path(photo).name, file)},
                )
        except OSError as error:
            raise InputError(f"The photo {photo} cannot be read: {error.strerror}.") from error

    def theme(self, theme: str, tunes: Sequence[Tune | int], **prompt_attributes: Any) -> None:
        """Has ten prompts written and drawn for each tune; `prompts.list(tune)` shows them."""
        asked = {
            "theme": theme,
            "tune_ids": [_id(tune) for tune in tunes],
            "prompt_attributes": prompt_attributes,
        }
        self.ask("POST", "/themes", json={"theme": asked})

    def drafts(self, theme: str, tunes: Sequence[Tune | int]) -> list[tuple[int, str]]:
        """The ten prompts for each tune, as its id and a text, to be changed and drawn with
        `prompts.create`. Of Fluxbooth only."""
        asked = {"theme": theme, "tune_ids": [_id(tune) for tune in tunes], "draft": True}
        return [
            (row["tune_id"], row["text"])
            for row in self.ask("POST", "/themes", json={"theme": asked})["prompts"]
        ]

    def pages(
        self, kind: type[R], path: str, limit: int | None, filters: Mapping[str, Any]
    ) -> Iterator[R]:
        """Rows of a list, newest first, page after page; at most `limit`."""
        before, left = None, limit
        while left is None or left > 0:
            asked = {**filters, "limit": PAGE if left is None else min(left, PAGE)}
            rows = self.ask(
                "GET", path, params=asked if before is None else {**asked, "before_id": before}
            )
            found = [kind.read(row) for row in rows] if is_list(rows) else []
            # a server that does not know before_id
            fresh = [row for row in found if before is None or row.id < before]
            yield from fresh[:left]
            if not fresh:
                return
            before, left = min(row.id for row in fresh), None if left is None else left - len(fresh)

    def wait(
        self,
        look: Callable[[], R],
        progress: Callable[[Progress], None] | None,
        timeout: float | None,
    ) -> R:
        """Looks until it is finished.

        Raises FluxboothError if it failed, TimeoutError after `timeout` seconds; the work goes on
        then.
        """
        began, pause = time.monotonic(), POLL[0]
        while True:
            shown = look()
            waited = time.monotonic() - began
            if progress:
                progress(self._progress(shown, waited))
            if shown.user_error:
                raise FluxboothError(
                    f"{type(shown).__name__} {shown.id} failed: {shown.user_error}"
                )
            if shown.finished:
                return shown
            if timeout is not None and waited + pause > timeout:
                raise TimeoutError(
                    f"{type(shown).__name__} {shown.id} is not finished after {timeout:g} "
                    "seconds; it goes on by itself."
                )
            time.sleep(pause)
            pause = min(POLL[1], pause * 1.25)

    def _progress(self, shown: Resource, waited: float) -> Progress:
        done: Json = {}
        if isinstance(shown, Tune) and shown.state == "running":
            with contextlib.suppress(ApiError):  # not part of the public contract
                done = self.ask("GET", f"/tunes/{shown.id}/progress")
        step, steps = done.get("step"), done.get("steps")
        return Progress(
            shown.id,
            shown.state,
            waited,
            step / steps if step is not None and steps else None,
            done.get("seconds_left"),
        )


class Tunes:
    """`client.tunes`: subjects that are learnt from photos."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, title: str, name: str, photos: Sequence[Source], **fields: Any) -> Tune:
        """Trains `name` (man, cat, product ...) on photos: files, or addresses that the server
        fetches. `fields` are the contract's: preset, steps, token, branch, callback,
        characteristics, prompts_attributes, base_tune_id ... With `model_type="faceid"` nothing is
        trained: its photo is looked at.
        """
        values = {
            "title": title,
            "name": name,
            "base_tune_id": FLUX_DEV,
            "branch": "flux1",
            "model_type": "lora",
            **fields,
        }
        return Tune.read(self._client.post_with_photos("/tunes", values, photos))

    def list(self, limit: int | None = None, **filters: Any) -> Iterator[Tune]:
        """Newest first. Filters: title, name, model_type, branch."""
        return self._client.pages(Tune, "/tunes", limit, filters)

    def get(self, tune: Tune | int) -> Tune:
        """The tune as it is now."""
        return Tune.read(self._client.ask("GET", f"/tunes/{_id(tune)}"))

    def wait(
        self,
        tune: Tune | int,
        progress: Callable[[Progress], None] | None = None,
        timeout: float | None = None,
    ) -> Tune:
        """Until it is trained; see `Client.wait`."""
        return self._client.wait(lambda: self.get(tune), progress, timeout)

    def delete(self, tune: Tune | int) -> None:
        """Deletes it with its photos and LoRA; its finished pictures stay."""
        self._client.ask("DELETE", f"/tunes/{_id(tune)}")


class Prompts:
    """`client.prompts`: texts that are drawn."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, tune: Tune | int, text: str, **fields: Any) -> Prompt:
        """Draws with a tune; before a text without a LoRA tag its tag and trigger words are put.

        A number is taken as it is, which suits a base: `create(1504944, "<lora:5000000:1> ohwx man
        at the beach")`. `fields`: num_images, seed, aspect_ratio ...
        """
        base = (tune.base_tune_id or FLUX_DEV) if isinstance(tune, Tune) else tune
        whole = tune.mention(text) if isinstance(tune, Tune) else text
        return Prompt.read(
            self._client.ask(
                "POST", f"/tunes/{base}/prompts", json={"prompt": {"text": whole, **fields}}
            )
        )

    def list(
        self, tune: Tune | int | None = None, limit: int | None = None, **filters: Any
    ) -> Iterator[Prompt]:
        """Newest first: all, or those that use a tune."""
        return self._client.pages(
            Prompt, "/prompts" if tune is None else f"/tunes/{_id(tune)}/prompts", limit, filters
        )

    def get(self, prompt: Prompt | int) -> Prompt:
        """The prompt as it is now."""
        return Prompt.read(self._client.ask("GET", f"/prompts/{_id(prompt)}"))

    def wait(
        self,
        prompt: Prompt | int,
        progress: Callable[[Progress], None] | None = None,
        timeout: float | None = None,
    ) -> Prompt:
        """Until its pictures are there; see `Client.wait`."""
        return self._client.wait(lambda: self.get(prompt), progress, timeout)

    def delete(self, prompt: Prompt | int) -> None:
        """Deletes it with its pictures."""
        self._client.ask("DELETE", f"/prompts/{_id(prompt)}")


class Packs:
    """`client.packs`: texts that go together."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, *, gallery: bool = False) -> tuple[Pack, ...]:
        """Your own, or the public ones; the first hundred."""
        rows = self._client.ask(
            "GET", "/gallery/packs" if gallery else "/packs", params={"limit": PAGE}
        )
        return tuple(Pack.read(row) for row in rows)

    def get(self, pack: Pack | int | str) -> Pack:
        """A pack by its id or slug."""
        return Pack.read(
            self._client.ask("GET", f"/p/{pack.id if isinstance(pack, Pack) else pack}")
        )

    def train(
        self, pack: Pack | int | str, title: str, name: str, photos: Sequence[Source], **fields: Any
    ) -> Tune:
        """Trains a tune as the pack says, and draws its texts; `prompts.list(tune)` shows them.
        `fields`: prompt_attributes, prompts_callback, and those of a tune.
        """
        path = f"/p/{pack.id if isinstance(pack, Pack) else pack}/tunes"
        return Tune.read(
            self._client.post_with_photos(path, {"title": title, "name": name, **fields}, photos)
        )

    def draw(self, pack: Pack | int | str, tunes: Sequence[Tune | int], **fields: Any) -> None:
        """Draws a pack's texts with tunes that are there already; `prompts.list(tune)` shows
        them."""
        path = f"/p/{pack.id if isinstance(pack, Pack) else pack}/tunes"
        self._client.ask(
            "POST", path, json={"tune": {"tune_ids": [_id(tune) for tune in tunes], **fields}}
        )


def _id(row: Resource | int) -> int:
    return row if isinstance(row, int) else row.id


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _seconds(header: str | None) -> float:
    return retry_after.seconds(header, datetime.datetime.now(datetime.UTC)) or 0.0
