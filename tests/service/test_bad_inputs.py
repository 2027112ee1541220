"""Bad inputs and the answer that each gets, in one table. Never a 5xx; nothing is lost and nothing
is left behind.

The numbers are those of the project's list of bad inputs; `TABLE` says what each is answered,
`ELSEWHERE` names the test that has the network or the money in its own hands, and the words it
holds the answer to. 95 and 99 come with money and themes.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import http.server
import importlib
import inspect
import io
import itertools
import json
import pickle
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.service.accounts import accounts
from fluxbooth.service.db.tables import Tune, now
from fluxbooth.service.settings import Settings
from tests.support.installation import calling
from tests.support.server import FEW, Json, Server, pictures, until

PHOTO = sorted(PHOTOS.glob("*.png"))[0].read_bytes()
TUNE = {"tune[title]": "bad input", "tune[name]": "man", "tune[branch]": "fast", "tune[steps]": FEW}


def encoded(side: int) -> str:
    """A square picture in base64."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (250, 250, 250)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


Ask = Callable[["World"], httpx.Response]


class World:
    """A server that does no work, with two accounts: the one that asks, and another with a tune
    and a prompt of its own."""

    def __init__(self, server: Server) -> None:
        self.server, self.http = server, server.http
        secret = accounts.pepper(Settings(data=server.data))
        with server.database.write() as session:
            other = accounts.create_account(session, "other")
            self.other_key = accounts.create_key(session, other, "", secret)
            self.revoked = accounts.create_key(session, other, "", secret)
            session.flush()
            accounts.revoke_key(session, self.revoked[: accounts.PREFIX_LENGTH])
        self.tune = server.new_tune("mine")
        theirs = self.as_other("POST", "/tunes", data=TUNE, files=pictures(1)).json()
        self.other_tune = theirs["id"]
        self.other_prompt = self.as_other("POST", "/prompts", json={"text": "a man"}).json()["id"]
        self.expired = server.new_tune("expired")["id"]
        with server.database.write() as session:
            row = session.get(Tune, self.expired)
            assert row is not None
            row.deleted_at = now()

    def as_other(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.http.request(
            method, path, headers={"Authorization": f"Bearer {self.other_key}"}, **options
        )

    def bearer(self, header: str | bytes | None) -> httpx.Response:
        headers = (
            []
            if header is None
            else [(b"Authorization", header if isinstance(header, bytes) else header.encode())]
        )
        return httpx.get(f"{self.http.base_url}/tunes", headers=headers)

    def tune_with(
        self, picture: bytes = PHOTO, filename: str = "a.jpg", **fields: str
    ) -> httpx.Response:
        data = TUNE | {f"tune[{name}]": value for name, value in fields.items()}
        answer = self.http.post(
            "/tunes", data=data, files=[("tune[images][]", (filename, picture))]
        )
        if answer.status_code == 201:  # what was accepted need not be trained
            self.http.delete(f"/tunes/{answer.json()['id']}").raise_for_status()
        return answer

    def photo_at(self, url: str) -> httpx.Response:
        return self.http.post(
            "/tunes", json={"tune": {"title": "by address", "name": "man", "image_urls": [url]}}
        )

    def deleted_twice(self) -> httpx.Response:
        made = self.prompt().json()
        self.http.delete(f"/prompts/{made['id']}").raise_for_status()
        return self.http.delete(f"/prompts/{made['id']}")

    def prompt(self, **values: Any) -> httpx.Response:
        return self.http.post(
            "/tunes/1504944/prompts", json={"prompt": {"text": "a man", **values}}
        )

    def lora(self, content: bytes) -> httpx.Response:
        return self.http.post(
            "/tunes", data=TUNE, files=[("tune[lora_file]", ("lora.safetensors", content))]
        )

    def raw(self, *headers: str) -> httpx.Response:
        """The answer to a GET /tunes that no client library would send."""
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as connection:
            connection.sendall(
                "\r\n".join(["GET /tunes HTTP/1.1", "Host: x", *headers, "", ""]).encode()
            )
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return httpx.Response(answer.status, content=answer.read(), headers=answer.getheaders())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """With the default rule: no private addresses."""
    with Server(
        tmp_path_factory.mktemp("world") / "data", flags=["--no-worker"], private_network="false"
    ) as server:
        yield World(server)


def picture(
    mode: str = "RGB", kind: str = "JPEG", size: tuple[int, int] = (200, 200), **options: Any
) -> bytes:
    out = io.BytesIO()
    source = Image.open(io.BytesIO(PHOTO)).convert("RGB").resize(size)
    Image.new(mode, size).save(out, kind, **options) if mode in ("I;16",) else source.convert(
        mode
    ).save(out, kind, **options)
    return out.getvalue()


def giant_png() -> bytes:
    """The header of a picture of 60,000 x 60,000 pixels."""
    import zlib

    head = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        for chunk in (head, data, b"IEND")
    )


def slender() -> str:
    return base64.b64encode(picture("L", "PNG", (1_000_000, 16))).decode()


def frames(count: int, kind: str) -> bytes:
    out = io.BytesIO()
    first, *rest = [Image.new("RGB", (200, 200), (i % 256, 90, 120)) for i in range(count)]
    first.save(out, kind, save_all=True, append_images=rest)
    return out.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    return picture(exif=exif)


def safetensors(header: Json | bytes, length: int | None = None, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(start: int, end: int) -> Json:
    return {"dtype": "F32", "shape": [1, (end - start) // 4], "data_offsets": [start, end]}


A = "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight"
B = "transformer.single_transformer_blocks.0.attn.to_q.lora_B.weight"
JSON = {"Content-Type": "application/json"}
UNREACHABLE = "cannot be reached: use an address that opens from the public internet"

# number and what it is, how it is sent, the statuses that are right, words of the answer
TABLE: list[tuple[str, Ask, tuple[int, ...], str]] = [
    ("1 no header", lambda w: w.bearer(None), (401,), "key"),
    ("2 wrong scheme", lambda w: w.bearer(f"Basic {w.server.key}"), (401,), "key"),
    ("3 empty bearer", lambda w: w.raw("Authorization: Bearer "), (401,), "key"),
    ("4 revoked key", lambda w: w.bearer(f"Bearer {w.revoked}"), (401,), "key"),
    ("5 a key of 50 kB", lambda w: w.bearer("Bearer sd_" + "a" * 50_000), (401,), "key"),
    ("6 NUL in a key", lambda w: w.raw("Authorization: Bearer sd_\0abc"), (400,), "Invalid HTTP"),
    ("7 another tenant's tune", lambda w: w.http.get(f"/tunes/{w.other_tune}"), (404,), "Not Found"),
    ("7 another tenant's tune, deleted", lambda w: w.http.delete(f"/tunes/{w.other_tune}"), (404,), "Not Found"),
    ("7 another tenant's prompt", lambda w: w.http.get(f"/prompts/{w.other_prompt}"), (404,), "Not Found"),
    ("8 id -1", lambda w: w.http.get("/tunes/-1"), (404,), "Not Found"),
    ("9 id 2^63", lambda w: w.http.get(f"/tunes/{2**63}"), (404,), "Not Found"),
    ("10 id 1 OR 1=1", lambda w: w.http.get("/tunes/1 OR 1=1"), (404,), "Not Found"),
    ("11 wrong content type", lambda w: w.http.post("/prompts", content='{"text": "a man"}', headers={"Content-Type": "image/png"}),
     (201,), ""),
    ("12 two lengths", lambda w: w.raw("Content-Length: 5", "Content-Length: 6"), (400,), "Invalid HTTP"),
    ("12 a length and chunks", lambda w: w.raw("Transfer-Encoding: chunked", "Content-Length: 5"), (401,), "key"),
    ("14 gzip bomb", lambda w: w.http.post("/prompts", content=gzip.compress(bytes(10**7)), headers={"Content-Encoding": "gzip"}), (400,),
     "compressed"),
    ("15 a range of 10,000 parts", lambda w: httpx.get(w.tune["orig_images"][0], headers={"Range": "bytes=" + "0-1," * 10_000 + "0-1"}),
     (200,), ""),
    ("16 Origin: null", lambda w: w.http.get("/tunes", headers={"Origin": "null"}), (200,), ""),
    ("17 method override", lambda w: w.http.get(f"/tunes/{w.tune['id']}", headers={"X-HTTP-Method-Override": "DELETE"}), (200,), "mine"),
    ("18 a key twice in JSON", lambda w: w.http.post("/prompts", content='{"text": "", "text": "a man"}', headers=JSON), (201,), "a man"),
    ("19 JSON 10,000 deep", lambda w: w.http.post("/prompts", content='{"a":' * 10_000 + "1" + "}" * 10_000, headers=JSON), (400,),
     "nested too deeply"),
    ("20 lone surrogate", lambda w: w.http.post("/prompts", content='{"text": "a \\ud800 man"}', headers=JSON), (400,),
     "half of a character"),
    ("21 NaN", lambda w: w.http.post("/prompts", content='{"text": "a man", "cfg_scale": NaN}', headers=JSON), (400,), "not a number"),
    ("22 no images", lambda w: w.http.post("/tunes", data=TUNE), (422,), "can't be blank"),
    ("23 one image", lambda w: w.tune_with(), (201,), "bad input"),
    ("24 1,001 files", lambda w: w.http.post("/tunes", data=TUNE, files=[("tune[images][]", ("a.jpg", b"\xff\xd8")) for _ in range(1001)]),
     (413,), "more than 200 files"),
    ("25 images and image_urls", lambda w: w.tune_with(image_urls="http://example.com/a.jpg"), (422,), "not both"),
    ("26 empty file", lambda w: w.tune_with(b""), (422,), "the file is empty"),
    ("27 text as .jpg", lambda w: w.tune_with(b"hello, this is a text"), (422,), "a.jpg"),
    ("28 SVG with a script", lambda w: w.tune_with(b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "a.svg"),
     (422,), "not a JPEG, PNG"),
    ("29 a picture that is a page too", lambda w: w.tune_with(picture() + b"<html><script>alert(1)</script>"), (201,), ""),
    ("30 truncated JPEG", lambda w: w.tune_with(picture()[:3000]), (422,), "cut off or damaged"),
    ("31 60,000 x 60,000 pixels", lambda w: w.tune_with(giant_png(), "a.png"), (422,), "60000 x 60000 pixels"),
    ("32 1 x 100,000 pixels", lambda w: w.tune_with(picture(kind="PNG", size=(1, 100_000)), "a.png"), (422,), "at least 16"),
    ("33 1,000 frames", lambda w: w.tune_with(frames(1000, "GIF"), "a.gif"), (422,), "not a JPEG, PNG"),
    ("34 APNG", lambda w: w.tune_with(frames(5, "PNG"), "a.png"), (201,), ""),
    ("35 CMYK JPEG", lambda w: w.tune_with(picture("CMYK")), (201,), ""),
    ("36 16-bit PNG", lambda w: w.tune_with(picture("I;16", "PNG"), "a.png"), (201,), ""),
    ("37 palette and alpha", lambda w: w.tune_with(picture("P", "PNG", transparency=0), "a.png"), (201,), ""),
    ("38 EXIF orientation 8", lambda w: w.tune_with(turned()), (201,), ""),
    ("39 10 MB after the picture", lambda w: w.tune_with(picture() + bytes(10**7)), (201,), ""),
    ("40 a bad ICC profile", lambda w: w.tune_with(picture(icc_profile=b"not a profile")), (201,), ""),
    ("41 FITS", lambda w: w.tune_with(b"SIMPLE  =                    T" + b" " * 2850, "a.fits"), (422,), "not a JPEG, PNG"),
    ("42 PSD", lambda w: w.tune_with(b"8BPS\0\1" + bytes(200), "a.psd"), (422,), "not a JPEG, PNG"),
    ("43 EPS", lambda w: w.tune_with(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a.eps"), (422,), "not a JPEG, PNG"),
    ("44 HEIC that is cut short", lambda w: w.tune_with(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "a.heic"), (422,),
     "Cannot read a.heic"),
    ("45 name ../../x", lambda w: w.tune_with(filename="../../x.png"), (201,), ""),
    ("46 name with CRLF", lambda w: w.tune_with(filename="a\r\nSet-Cookie: x=1.png"), (201,), ""),
    ("47 name of 300 bytes", lambda w: w.tune_with(filename="x" * 300 + ".png"), (201,), ""),
    ("48 name with RTL marks", lambda w: w.tune_with(filename="a\u202egpj.png"), (201,), ""),
    ("48 name with NUL", lambda w: w.tune_with(filename="a\0.png"), (201,), ""),
    ("49 twenty times the same", lambda w: w.http.post("/tunes", data=TUNE, files=pictures(1) * 20), (201,), ""),
    ("50 steps -1", lambda w: w.tune_with(steps="-1"), (422,), "steps"),
    ("50 steps 10^9", lambda w: w.tune_with(steps="1000000000"), (422,), "steps"),
    ("50 choose_within 2", lambda w: w.tune_with(choose_within="2"), (422,), "choose_within"),
    ("50 stop_early maybe", lambda w: w.tune_with(stop_early="maybe"), (422,), "stop_early"),
    ("50 steps 1e3", lambda w: w.tune_with(steps="1e3"), (422,), "must be a whole number"),
    ("51 unknown preset", lambda w: w.tune_with(preset="best"), (422,), "preset"),
    ("52 base of another tenant", lambda w: w.tune_with(branch="flux1", base_tune_id=str(w.other_tune)), (422,), "base_tune_id"),
    ("53 token with a tag", lambda w: w.tune_with(token="<lora:1:1>"), (422,), "without <, > and :"),
    ("54 title of 10 MB", lambda w: w.tune_with(title="x" * 10**7), (413,), "larger than 1 MB"),
    ("55 nested characteristics", lambda w: w.tune_with(characteristics='{"a": {"b": {"c": 1}}}'), (201,), ""),
    ("56 repeated form key", lambda w: w.http.post("/prompts", content=b"prompt[text]=&prompt[text]=a+man",
                                                   headers={"Content-Type": "application/x-www-form-urlencoded"}), (201,), "a man"),
    ("57 500 nested prompts", lambda w: w.http.post("/tunes", json={"title": "x", "name": "man", "image_urls": ["http://example.com/a.jpg"],
                                                                    "prompts_attributes": [{"text": "ohwx man"}] * 500}), (422,),
     "at most 100 items, not 500"),
    ("58 127.0.0.1", lambda w: w.photo_at("http://127.0.0.1/a.jpg"), (422,), UNREACHABLE),
    ("59 ::ffff:127.0.0.1", lambda w: w.photo_at("http://[::ffff:127.0.0.1]/a.jpg"), (422,), UNREACHABLE),
    ("60 0x7f000001", lambda w: w.photo_at("http://0x7f000001/a.jpg"), (422,), UNREACHABLE),
    ("61 169.254.169.254", lambda w: w.photo_at("http://169.254.169.254/latest/meta-data"), (422,), UNREACHABLE),
    ("62 64:ff9b::7f00:1", lambda w: w.photo_at("http://[64:ff9b::7f00:1]/a.jpg"), (422,), UNREACHABLE),
    ("66 file:", lambda w: w.photo_at("file:///etc/passwd"), (422,), "not an http or https address"),
    ("66 gopher:", lambda w: w.photo_at("gopher://127.0.0.1/"), (422,), "not an http or https address"),
    ("66 data:", lambda w: w.photo_at("data:image/png;base64,iVBO"), (422,), "not an http or https address"),
    ("67 a password", lambda w: w.photo_at("http://user:pass@example.com/a.jpg"), (422,), "must not contain a user name or password"),
    ("68 port 22", lambda w: w.photo_at("http://example.com:22/a.jpg"), (422,), "must use port 80 or 443"),
    ("69 this very API", lambda w: w.photo_at(f"http://localhost:{w.server.port}/tunes"), (422,), "must use port 80 or 443"),
    ("66 callback file:", lambda w: w.prompt(callback="file:///etc/passwd"), (422,), "callback"),
    ("66 callback gopher:", lambda w: w.prompt(callback="gopher://127.0.0.1/"), (422,), "callback"),
    ("67 callback with a password", lambda w: w.prompt(callback="http://user:pass@example.com/"), (422,), "callback"),
    ("76 empty text", lambda w: w.prompt(text=" "), (422,), "can't be blank"),
    ("77 100,000 characters", lambda w: w.prompt(text="x" * 100_000), (422,), "text"),
    ("78 unknown LoRA", lambda w: w.prompt(text="<lora:999999:1> a man"), (422,), "999999"),
    ("79 another tenant's LoRA", lambda w: w.prompt(text=f"<lora:{w.other_tune}:1> sks man"), (422,), "does not exist"),
    ("80 strength 1e308", lambda w: w.prompt(text=f"<lora:{w.tune['id']}:1e308> sks man"), (422,), "not complete"),
    ("80 strength NaN", lambda w: w.prompt(text=f"<lora:{w.tune['id']}:NaN> sks man"), (422,), "not complete"),
    ("80 strength 9", lambda w: w.prompt(text=f"<lora:{w.tune['id']}:9> sks man"), (422,), "0 to 4"),
    ("81 50 LoRAs", lambda w: w.prompt(text="".join(f"<lora:{i}:1>" for i in range(50)) + " sks man"), (422,), "uses 50 LoRAs"),
    ("82 w 7", lambda w: w.prompt(w=7, h=128), (422,), '"w"'),
    ("83 w 10^6", lambda w: w.prompt(w=10**6, h=128), (422,), '"w"'),
    ("84 no picture", lambda w: w.prompt(num_images=0), (422,), "num_images"),
    ("84 nine pictures", lambda w: w.prompt(num_images=9), (422,), "num_images"),
    ("85 seed 2^32 + 1", lambda w: w.prompt(seed=2**32 + 1), (422,), "seed"),
    ("86 seed -1: any", lambda w: w.prompt(seed=-1), (201,), '"seed":null'),
    ("86 seed -2", lambda w: w.prompt(seed=-2), (422,), "seed"),
    ("before_id abc", lambda w: w.http.get("/prompts?before_id=abc"), (422,), "must be a whole number"),
    ("a picture of 1,000,000 x 16", lambda w: w.prompt(input_image_base64=slender()), (422,), "at most 50 times"),
    ("87 cfg_scale 16", lambda w: w.prompt(cfg_scale=16), (422,), "cfg_scale"),
    ("88 mask of another size: it is scaled to the picture",
     lambda w: w.prompt(input_image_base64=encoded(200), mask_image_base64=encoded(90)), (201,), "mask_image"),
    ("89 mask without a picture", lambda w: w.prompt(mask_image_url="http://example.com/b"), (422,), "needs the input_image"),
    ("90 malformed base64", lambda w: w.prompt(input_image_base64="data:image/png;base64,!!!"), (422,), "not base64"),
    ("90 words in base64", lambda w: w.prompt(input_image_base64="d29yZHM="), (422,), "not a JPEG"),
    ("a picture by a strange address", lambda w: w.prompt(input_image_url="file:///etc/passwd"), (422,), "http or https"),
    ("a picture given twice", lambda w: w.prompt(input_image_url="http://a.b/c", input_image_base64="d29yZHM="), (422,), "more than once"),
    ("an id that no column holds", lambda w: w.http.post("/prompts", json={"text": "a man", "tune_id": 2**70}), (422,), "tune_id"),
    ("a pack that no column holds", lambda w: w.prompt(pack_id=2**70), (422,), "pack_id"),
    ("91 unknown scheduler", lambda w: w.prompt(scheduler="fastest"), (422,), "scheduler"),
    ("92 a tune that still trains", lambda w: w.prompt(text=f"<lora:{w.tune['id']}:1> sks man"), (201,), '"trained_at":null'),
    ("93 expired tune", lambda w: w.prompt(text=f"<lora:{w.expired}:1> sks man"), (422,), "does not exist"),
    ("96 deleted twice", lambda w: w.deleted_twice(), (404,), "Not Found"),
    ("97 offset -1", lambda w: w.http.get("/prompts?offset=-1"), (400,), "before_id"),
    ("97 offset 10^12", lambda w: w.http.get("/prompts?offset=1000000000000"), (400,), "before_id"),
    ("98 like another's prompt", lambda w: w.http.post(f"/prompts/{w.other_prompt}/likes"), (404,), "Not Found"),
    ("100 LoRA that is a pickle", lambda w: w.lora(pickle.dumps({"a": 1})), (422,), "pickle"),
    ("a LoRA that is text", lambda w: w.http.post("/tunes", json={"tune": {"title": "x", "name": "man", "lora_file": "x"}}), (422,),
     "must be a file"),
    ("101 header of 2^63 bytes", lambda w: w.lora(safetensors({}, 2**63)), (422,), "9223372036854775808 bytes"),
    ("102 tensors that overlap", lambda w: w.lora(safetensors({A: tensor(0, 8), B: tensor(4, 12)}, data=bytes(12))), (422,), "overlap"),
    ("103 a path as tensor name", lambda w: w.lora(safetensors({"../../x.lora_A.weight": tensor(0, 4)}, data=bytes(4))), (422,), "no part"),
]  # fmt: skip

# numbers, what it is, the test that holds it, and the words that this test finds in the answer
FETCH, FORMS = "tests.service.test_fetch", "tests.web.test_body"
ELSEWHERE: list[tuple[str, str, str]] = [
    ("13 chunks that never end", f"{FORMS}.test_a_body_that_breaks_off_leaves_nothing", "stopped coming"),
    ("58 59 60 61 62 69 70 a name that leads to one of them", f"{FETCH}.test_a_name_that_leads_to_a_forbidden_address_is_not_connected_to",
     "cannot be reached"),
    ("63 a name that changes its mind", f"{FETCH}.test_a_name_that_changes_its_mind_is_asked_once_per_connection", "refused("),
    ("64 redirect to a private address", f"{FETCH}.test_a_redirect_to_a_private_address_is_not_followed", "cannot be reached"),
    ("65 redirects without end", f"{FETCH}.test_redirects_are_followed_as_far_as_allowed", "redirects more than 4 times"),
    ("70 names that look like others", f"{FETCH}.test_names_of_other_scripts_are_asked_for_in_ascii", "xn--"),
    ("71 slow-loris", f"{FETCH}.test_a_drip_ends_at_the_deadline", "took longer than"),
    ("72 bad certificate", f"{FETCH}.test_certificates_are_checked", "CERTIFICATE_VERIFY_FAILED"),
    ("73 74 false and endless lengths", f"{FETCH}.test_a_body_that_is_too_long_is_given_up", "is larger than"),
    ("73 a body shorter than it says", f"{FETCH}.test_answers_that_are_no_picture", "in str(error)"),
    ("75 a page as a picture", "tests.service.test_bad_inputs.test_addresses_that_give_no_picture_fail_the_tune", "not a JPEG"),
    ("94 no credit", "tests.service.test_ledger.test_without_funds_nothing_is_made_and_what_failed_costs_nothing", "402"),
]  # fmt: skip
ASKED = {*range(1, 95), 96, 97, 98, 100, 101, 102, 103}


def numbers(label: str) -> set[int]:
    """The numbers at the beginning of a label."""
    return {int(word) for word in itertools.takewhile(str.isdecimal, label.split())}


def test_every_bad_input_of_the_list_has_its_answer() -> None:
    assert set().union(*(numbers(row[0]) for row in (*TABLE, *ELSEWHERE))) >= ASKED


@pytest.mark.parametrize(
    ("ask", "statuses", "words"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_a_bad_input_gets_its_answer(
    world: World, ask: Ask, statuses: tuple[int, ...], words: str
) -> None:
    answer = ask(world)
    assert answer.status_code in statuses, answer.text[:500]
    assert words in answer.text
    if answer.status_code >= 400 and answer.headers.get("content-type", "").startswith(
        "application/json"
    ):
        body = answer.json()
        assert isinstance(body["error"], str) and body["error"]
        assert "Traceback" not in answer.text and str(world.server.data) not in answer.text


@pytest.mark.parametrize(
    ("place", "words"), [row[1:] for row in ELSEWHERE], ids=[row[0] for row in ELSEWHERE]
)
def test_what_is_held_elsewhere_is_held(place: str, words: str) -> None:
    module, _, name = place.rpartition(".")
    assert words in inspect.getsource(getattr(importlib.import_module(module), name))


def test_a_key_of_a_megabyte_ends_its_connection_and_nothing_else(world: World) -> None:
    # the server need not read to the end what it refuses
    with contextlib.suppress(ConnectionError):
        assert world.raw("Authorization: Bearer sd_" + "a" * 2**20).status_code in (400, 431)
    assert world.http.get("/users").status_code == 200


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.end_headers()
        self.wfile.write(b"<!doctype html><script>alert(1)</script>")

    def log_message(self, *_: object) -> None:
        pass


def test_addresses_that_give_no_picture_fail_the_tune(own_server: Server) -> None:
    """On a network of one's own, whose addresses are allowed: a page that calls itself a
    picture, and one that nobody answers at."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        tunes = [
            own_server.http.post(
                "/tunes", json={"title": url, "name": "man", "branch": "fast", "image_urls": [url]}
            ).json()["id"]
            for url in (
                f"http://127.0.0.1:{host.server_port}/a.jpg",
                "http://nowhere.invalid/a.jpg",
            )
        ]
        page, nothing = (own_server.finished_tune(tune) for tune in tunes)
        host.shutdown()
    assert "not a JPEG" in page["user_error"] and UNREACHABLE in nothing["user_error"]
    for failed in (page, nothing):
        assert (
            failed["trained_at"] is None
            and failed["error"] == failed["user_error"]
            and failed["status"] == "failed"
        )
        assert (
            "Traceback" not in failed["user_error"]
            and str(own_server.data) not in failed["user_error"]
        )


@pytest.fixture
def strict_server(tmp_path: Path) -> Iterator[Server]:
    """A server with the default rule: no private addresses."""
    with Server(tmp_path / "data", private_network="false") as server:
        yield server


def test_no_forbidden_address_is_ever_connected_to(strict_server: Server) -> None:
    """Addresses that lead to this machine are refused with a reason, and never asked even where
    one is stored; a listener hears nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        hook, asked = f"http://127.0.0.1:{port}/hook", {"title": "here", "name": "man"}
        photos = strict_server.http.post(
            "/tunes", json={**asked, "image_urls": ["http://localhost/a.jpg"]}
        )
        assert photos.status_code == 422 and UNREACHABLE in photos.json()["error"]
        called = strict_server.http.post(
            "/tunes", json={**asked, "image_urls": ["http://a.example/a.jpg"], "callback": hook}
        )
        assert called.status_code == 422 and "FLUXBOOTH_PRIVATE_NETWORK" in called.json()["error"]
        calling(strict_server.data, "owner", [hook])
        until(lambda: refusals(strict_server), "the callback was refused")
        with pytest.raises(BlockingIOError):
            listener.accept()


def refusals(server: Server) -> list[str | None]:
    from sqlalchemy import select

    from fluxbooth.service.db.tables import Callback

    with server.database.read() as session:
        return list(
            session.scalars(select(Callback.last_error).where(Callback.last_error.is_not(None)))
        )


def test_names_of_clients_name_no_file(world: World) -> None:
    for path in (world.server.data / "files").rglob("*"):
        assert path.name == "SHA256SUMS" or set(path.name) <= set(
            "abcdefghijklmnopqrstuvwxyz0123456789.-_"
        ), path
    assert not [path for path in (world.server.data / "incoming").rglob("*") if path.is_file()]
    assert not (Path(world.server.data).parent / "x.png").exists()
