"""multipart/form-data as it arrives: files go to disk under names of our own, texts are kept."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import anyio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from fluxbooth.web.http.bracket_names import MOST_PAIRS, keys_of
from fluxbooth.web.http.limits import KB, BadRequest, Limits, TooLarge, format_bytes

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FILE_KEYS = {"images", "file", "lora_file", "input_image", "mask_image"}
LONGEST_FILENAME = 200
LONG = 64 * KB  # characters of base64: what is shorter stays text
_SNIFFED = 2 * KB  # of a part without a filename, before it is taken for a file
_WRITTEN_AT_ONCE = 256 * KB
# a client that sends byte by byte fills memory with objects rather than bytes
_PIECES_AT_ONCE = 1000


@dataclass(frozen=True)
class Upload:
    """A received file.

    Its name on disk is ours; `filename` is the client's, only to be shown and to pair captions.
    """

    path: Path
    filename: str
    size: int
    encoded: bool = False
    """Still the base64 that a text field was."""


def clean_filename(name: str) -> str:
    """The last part of a path, without control and direction characters, at most 200
    characters, its ending kept."""
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(c for c in name if not unicodedata.category(c).startswith("C")).strip()
    ending = Path(name).suffix
    if len(name) > LONGEST_FILENAME and len(ending) <= 16:
        name = name[: LONGEST_FILENAME - len(ending)] + ending
    return name[:LONGEST_FILENAME] or "file"


def is_file_name(name: str) -> bool:
    """Whether the last word of a bracket name is one under which files come: `tune[images][0]`."""
    words = [key for key in keys_of(name) if key and not key.isdecimal()]
    return bool(words) and words[-1] in FILE_KEYS


def is_base64_name(name: str) -> bool:
    """Whether a picture may be written in base64 under a key."""
    return name in FILE_KEYS or name.endswith("_base64")


def looks_like_text(start: bytes) -> bool:
    """Whether bytes are printable: every picture and weight file begins with something that is
    not."""
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # not merely a character cut in two
            return False
        text = start[: error.start].decode()
    return all(c.isprintable() or c in "\r\n\t" for c in text)


@dataclass
class _Part:
    name: str
    filename: str | None
    undecided: bool
    encoded: bool = False
    path: Path | None = None
    size: int = 0
    text: bytearray = field(default_factory=bytearray)


class Receiver:
    """Fed with a body, gives its pairs.

    Files are written in a thread, 256 kB at a time, so that other requests go on.
    """

    def __init__(self, boundary: bytes, folder: Path, limits: Limits) -> None:
        self.folder, self.limits = folder, limits
        self.pairs: list[tuple[str, Any]] = []
        self.paths: list[Path] = []
        self._part: _Part | None = None
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = b"", b""
        self._waiting: list[tuple[Path, bytes | None]] = []  # None: the file is complete
        self._waiting_size = self._text_size = 0
        self._file: BinaryIO | None = None
        self._complete = False
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise BadRequest("The multipart body has an unusable boundary.") from error

    async def receive(self, chunks: AsyncIterator[bytes]) -> list[tuple[str, Any]]:
        """All pairs, in their order. On any error the files received so far are gone."""
        try:
            async for chunk in chunks:
                self._parser.write(chunk)
                if self._waiting_size >= _WRITTEN_AT_ONCE or len(self._waiting) >= _PIECES_AT_ONCE:
                    await anyio.to_thread.run_sync(self._write)
            if not self._complete:
                raise BadRequest("The multipart body ends before its last boundary: send it again.")
            if self._waiting:
                await anyio.to_thread.run_sync(self._write)
            return self._several_of_a_name()
        except FormParserError as error:
            self.discard()
            raise BadRequest(f"The multipart body is malformed: {str(error)[:100]}.") from error
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        if self._file:
            self._file.close()
        for path in self.paths:
            path.unlink(missing_ok=True)

    def _several_of_a_name(self) -> list[tuple[str, Any]]:
        """Photos sent as `tune[images]` again and again, without `[]`, are a list: the last one
        alone is never what was meant."""
        count = Counter(name for name, value in self.pairs if isinstance(value, Upload))
        several = {
            name
            for name in count
            if count[name] > 1 and (keys := keys_of(name))[-1] == "images" and "" not in keys
        }
        return [(f"{name}[]" if name in several else name, value) for name, value in self.pairs]

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise BadRequest(
                "A part of the multipart body has no name: give each part a "
                "Content-Disposition with one."
            )
        name = _decoded(options[b"name"], "The name of a part")
        filename = options.get(b"filename", b"").decode("utf-8", "replace") or None
        if len(self.pairs) >= MOST_PAIRS:
            raise TooLarge(f"The request has more than {MOST_PAIRS} parts: send fewer at once.")
        self._part = _Part(name, filename, undecided=filename is None and is_file_name(name))
        if filename is not None:
            self._becomes_file(self._part)

    def _becomes_file(self, part: _Part) -> None:
        if len(self.paths) >= self.limits.files:
            raise TooLarge(
                f"The request has more than {self.limits.files} files: send fewer at once."
            )
        part.undecided = False
        part.path = self.folder / f"{secrets.token_hex(16)}.part"
        self.paths.append(part.path)
        start, part.text = bytes(part.text), bytearray()
        self._keep(part, start)

    def _keep(self, part: _Part, data: bytes) -> None:
        part.size += len(data)
        most = self.limits.text if part.encoded else self.limits.file
        if part.size > most:
            raise TooLarge(f"A file is larger than {format_bytes(most)}.")
        assert part.path
        self._waiting.append((part.path, data))
        self._waiting_size += len(data)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        assert part
        if part.path:
            self._keep(part, data[start:end])
            return
        part.text += data[start:end]
        if part.undecided and len(part.text) > _SNIFFED:
            part.undecided = False
            if not looks_like_text(bytes(part.text[:_SNIFFED])):
                self._becomes_file(part)
                return
        if len(part.text) > LONG and any(map(is_base64_name, keys_of(part.name))):
            part.encoded = True
            self._becomes_file(part)
            return
        most = (
            self.limits.text
            if part.name.removesuffix("]").endswith("_base64")
            else self.limits.field
        )
        if len(part.text) > most:
            raise TooLarge(f"A field is larger than {format_bytes(most)}.")
        if self._text_size + len(part.text) > self.limits.text:
            raise TooLarge(
                f"The text fields are larger than {format_bytes(self.limits.text)} together."
            )

    def _on_part_end(self) -> None:
        part = self._part
        assert part
        if part.undecided and not looks_like_text(bytes(part.text)):
            self._becomes_file(part)
        if part.path:
            self._waiting.append((part.path, None))
            self.pairs.append(
                (
                    part.name,
                    Upload(
                        part.path,
                        clean_filename(part.filename or part.name),
                        part.size,
                        part.encoded,
                    ),
                )
            )
        else:
            self._text_size += len(part.text)
            self.pairs.append((part.name, _decoded(bytes(part.text), "The text of a field")))

    def _on_end(self) -> None:
        self._complete = True

    def _write(self) -> None:
        waiting, self._waiting, self._waiting_size = self._waiting, [], 0
        self.folder.mkdir(parents=True, exist_ok=True)
        for path, data in waiting:
            self._file = self._file or path.open("xb")
            if data is None:
                self._file.close()
                self._file = None
            else:
                self._file.write(data)


def _decoded(raw: bytes, what: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(f"{what} is not UTF-8.") from error
