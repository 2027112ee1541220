"""The weights of a base from the Hugging Face hub: access, licence and disk are asked after first,
then files come, each verified.

They land in the cache that every Hugging Face program shares. `HF_TOKEN`, `HF_HOME`,
`HF_HUB_OFFLINE` and `HF_ENDPOINT` mean what they mean there. The hub's own client starts a broken
file anew in the next process; here what arrived of it stays, as `SHA256.part`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.models.base import Base

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoFile

# the diffusers folder; the single files beside it hold the same weights once more
WANTED = (
    "model_index.json", "LICENSE*", "*/*.json", "*/*.safetensors", "*/*.txt", "*/*.model",
    "*/*.jinja",
)  # fmt: skip
MARGIN = 2**30  # bytes of disk to leave free
# name, among the cache's refs, of the commit that a base without a pinned one was first pulled at
RECORD = "fluxbooth"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Pulled:
    folder: Path
    revision: str  # the commit
    files: int
    downloaded: int  # bytes that came over the network now


def local(row: Base) -> Path | None:
    """Where a base's weights are on this machine, whole, or None: a folder or a file.

    Of several revisions the pinned or recorded one comes first, then the one that another program
    fetched last.
    """
    if Path(row.source).exists():
        return Path(row.source)
    names = [pinned(row), _ref(row, "main")]
    return next(
        (folder for name in names if name and _whole(folder := _repo(row) / "snapshots" / name)),
        None,
    )


def pinned(row: Base) -> str | None:
    """The commit that a base is pulled at: the one in its row, or the one recorded when it was
    first pulled."""
    return row.revision or _ref(row, RECORD)


def commit_of(row: Base, found: Path) -> str | None:
    """The commit of weights that `local` found; None for a folder or a file of the user's own."""
    return found.name if found.parent == _repo(row) / "snapshots" else None


def arrived(row: Base) -> int:
    """Bytes of a base's files that are in the cache, those that are not whole yet too, of all
    sets of its weights; a file that two of them have counts once."""
    places = {
        path.name: path.stat().st_size
        for one in row.sets
        if (blobs := _blobs(one)).is_dir()
        for path in blobs.iterdir()
    }
    return sum(places.values())


def pull(row: Base, report: Report) -> tuple[Pulled, ...]:
    """Downloads what is missing of a base, of each set of its weights, and verifies it. `report` is
    told in sentences what happens.

    Raises InputError where the user must do something first (token, licence, disk, offline),
    FluxboothError if the hub cannot be reached or sends something else than it lists.
    """
    from huggingface_hub import constants

    if Path(row.source).is_dir():
        raise InputError(
            f"{row.name} is on this machine already: it comes with Fluxbooth or is a folder "
            "of yours."
        )
    if constants.HF_HUB_OFFLINE:
        raise InputError(
            f"{row.name} cannot be pulled while HF_HUB_OFFLINE is set: unset it, or copy the "
            f"weights to {_repo(row)}."
        )
    return tuple(_pull(one, row.sets, report) for one in row.sets)


def _pull(row: Base, sets: Sequence[Base], report: Report) -> Pulled:
    """One of the sets of a base's weights; what another has already of the very files is not
    downloaded again."""
    from huggingface_hub import HfApi, snapshot_download

    if len(sets) > 1:
        report(f"{row.source}, {'to draw with' if row is sets[0] else 'to train on'}")
    api = HfApi()
    with _explained(row):
        api.auth_check(row.source)
        commit = api.model_info(row.source, revision=pinned(row) or "main").sha
        assert commit is not None
        files = _wanted(api.list_repo_tree(row.source, recursive=True, revision=commit))
        large = [f for f in files if f.lfs is not None]
        _link(row, large, sets)
        missing = [f for f in large if f.lfs and not (_blobs(row) / f.lfs["sha256"]).is_file()]
        _check_disk(row, sum(f.size - _arrived(_part(row, f)) for f in missing))
        for number, file in enumerate(missing, 1):
            report(f"{number} of {len(missing)}: {file.path}, {_size(file.size)}")
            _fetch(row, commit, file)
        # the hub's client adds the small files and the links to the large ones, which it finds
        # where it would have put them
        folder = Path(
            snapshot_download(row.source, revision=commit, allow_patterns=[f.path for f in files])
        )
    if len(missing) < len(large):
        report("Verifying what was here already ...")
    fetched = {f.path for f in missing}
    _verify(row, folder, [f for f in files if f.path not in fetched])
    if row.revision is None:
        record = _repo(row) / "refs" / RECORD
        record.parent.mkdir(exist_ok=True)
        record.write_text(commit)
    return Pulled(folder, commit, len(files), sum(f.size for f in missing))


def _link(row: Base, files: Sequence[RepoFile], sets: Sequence[Base]) -> None:
    """Gives a base's part of the cache the files that another of the sets has there, by hash."""
    for file in files:
        assert file.lfs is not None
        place = _blobs(row) / file.lfs["sha256"]
        found = next((p for one in sets if (p := _blobs(one) / place.name).is_file()), None)
        if found is not None and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with suppress(OSError):  # a disk without such links: it is downloaded
                place.hardlink_to(found)


def _wanted(listed: Iterable[Any]) -> list[RepoFile]:
    """Of what a repository lists, the files of a base."""
    return [
        entry
        for entry in listed
        if hasattr(entry, "blob_id") and any(fnmatch(entry.path, pattern) for pattern in WANTED)
    ]


def _fetch(row: Base, commit: str, file: RepoFile) -> None:
    """One large file into the cache, going on from what arrived before; it gets its name there
    only if its hash is right."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    part = _part(row, file)
    part.parent.mkdir(parents=True, exist_ok=True)
    url = hf_hub_url(row.source, file.path, revision=commit)
    with part.open("ab") as out:
        http_get(
            url,
            out,
            resume_size=part.stat().st_size,
            headers=build_hf_headers(),
            expected_size=file.size,
            displayed_filename=file.path,
        )
    assert file.lfs is not None
    _check(row, file.path, part, "sha256", file.lfs["sha256"])
    part.rename(part.with_suffix(""))


def _verify(row: Base, folder: Path, files: list[RepoFile]) -> None:
    """Holds every file to the hub's hash: SHA-256 of a large one, git's own of a small one."""
    for file in files:
        path = folder / file.path
        if file.lfs is not None:
            _check(row, file.path, path.resolve(), "sha256", file.lfs["sha256"])
        else:
            _check(
                row,
                file.path,
                path.resolve(),
                "sha1",
                file.blob_id,
                b"blob %d\0" % path.stat().st_size,
            )


def _check(row: Base, name: str, path: Path, kind: str, expected: str, prefix: bytes = b"") -> None:
    digest = hashlib.new(kind, prefix)
    with path.open("rb") as file:
        while block := file.read(2**22):
            digest.update(block)
    if digest.hexdigest() != expected:
        path.unlink()
        raise FluxboothError(
            f"{name} of {row.name} is not what the hub lists (its {kind} differs), so it was "
            f"deleted: repeat `fluxbooth models pull {row.name}`; if that happens again, a proxy "
            "or the disk damages files."
        )


def _check_disk(row: Base, needed: int) -> None:
    from fluxbooth import hardware

    free = hardware.free_disk(_repo(row))
    if needed and needed + MARGIN > free:
        raise InputError(
            f"{row.name} needs {needed / 1e9:.1f} GB more on the disk of {_repo(row).parent}, and "
            f"{free / 1e9:.1f} GB are free: make room, or set HF_HOME to a folder on a larger disk."
        )


@contextmanager
def _explained(row: Base) -> Iterator[None]:
    """Turns what the hub answers into what the user can do."""
    import httpx2
    from huggingface_hub import constants, errors

    again = f"then repeat `fluxbooth models pull {row.name}`."
    try:
        yield
    except errors.HfHubHTTPError as error:
        gated = isinstance(error, errors.GatedRepoError)
        raise _refusal(row, error.response.status_code, again, gated=gated) from error
    except (httpx2.HTTPError, ConnectionError, errors.LocalEntryNotFoundError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FluxboothError(
            f"The hub at {constants.ENDPOINT} cannot be reached ({reason}): what arrived is "
            f"kept; {again}"
        ) from error
    except OSError as error:
        if error.errno is None:  # the client's own: less came than was announced
            raise FluxboothError(
                f"The download broke off ({error}): what arrived is kept; {again}"
            ) from error
        raise FluxboothError(
            f"The weights cannot be written to {_repo(row)} ({error.strerror}): free space, {again}"
        ) from error


def _refusal(row: Base, code: int, again: str, *, gated: bool) -> FluxboothError:
    """What an answer of the hub that is no file means, and the remedy."""
    from huggingface_hub import constants, get_token

    page, tokens = f"{constants.ENDPOINT}/{row.source}", f"{constants.ENDPOINT}/settings/tokens"
    if get_token() is None and (gated or code in (401, 403)):
        return InputError(
            f"{row.name} is given only to accounts that accepted its licence, and there is no "
            f"token here: accept the licence at {page}, make a token with read access at "
            f"{tokens}, set it as HF_TOKEN or run `hf auth login`, {again}"
        )
    if gated and code == 403:
        return InputError(
            f"The account of your token has not accepted the licence of {row.name} "
            f"({row.licence}): sign in with that account at {page}, read and accept it there "
            f"(a fine-grained token also needs access to gated repositories), {again}"
        )
    if code == 401:
        return InputError(
            f"The hub does not accept your token: make a new one at {tokens}, set it as HF_TOKEN "
            f"or run `hf auth login`, {again}"
        )
    return FluxboothError(
        f"The hub answered {code} when asked for {row.name} (revision {pinned(row) or 'main'}): "
        f"{page} may say why."
    )


def _whole(folder: Path) -> bool:
    """Whether a snapshot has its configuration and every weight file that it names."""
    index = folder / "model_index.json"
    if not index.is_file():
        return False
    for part in _parts_with_weights(json.loads(index.read_text())):
        indices = list((folder / part).glob("*.safetensors.index.json"))
        named = {
            name
            for index in indices
            for name in json.loads(index.read_text())["weight_map"].values()
        }
        if not all((folder / part / name).is_file() for name in named or {"config.json"}):
            return False
        if not any(path.is_file() for path in (folder / part).glob("*.safetensors")):
            return False
    return True


def _parts_with_weights(index: dict[str, Any]) -> list[str]:
    """Of what a diffusers folder lists, each with its library and class."""
    kinds = {name: row[1] for name, row in index.items() if isinstance(row, list) and row[1]}
    return [
        name for name, kind in kinds.items() if "Tokenizer" not in kind and "Scheduler" not in kind
    ]


def _repo(row: Base) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{row.source.replace('/', '--')}"


def _ref(row: Base, name: str) -> str | None:
    """The commit that the cache knows by a name."""
    path = _repo(row) / "refs" / name
    return path.read_text().strip() if path.is_file() else None


def _blobs(row: Base) -> Path:
    return _repo(row) / "blobs"


def _part(row: Base, file: RepoFile) -> Path:
    assert file.lfs is not None
    return _blobs(row) / f"{file.lfs['sha256']}.part"


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _arrived(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
