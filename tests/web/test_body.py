"""Bodies as clients send them, byte for byte, through the parser that the service uses."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from fluxbooth.service.errors import Invalid
from fluxbooth.web.http import body as forms
from fluxbooth.web.http.body import BadRequest, Limits, TooLarge
from tests.support.hostile import many_values

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 4
PNG = b"\x89PNG\r\n\x1a\n" + bytes(300)
BOUNDARY = "----x7MA4YWxk"
FORM = "application/x-www-form-urlencoded"
# the machine may be busy
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def receive(
    folder: Path,
    body: bytes | list[bytes],
    kind: str | None = None,
    limits: Limits | None = None,
    ending: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
    turn: AbstractAsyncContextManager[object] | None = None,
) -> dict[str, Any]:
    """What `read` makes of a body that comes in the given pieces, and then perhaps breaks off."""
    pieces = [body] if isinstance(body, bytes) else body
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append(ending or {"type": "http.request", "body": b"", "more_body": False})
    sent = iter(messages)

    async def next_message() -> dict[str, Any]:
        message = next(sent)
        if message["type"] == "silence":
            await asyncio.Event().wait()
        return message

    names = {**({"content-type": kind} if kind else {}), **(headers or {})}
    raw = [(k.encode(), v.encode("latin-1")) for k, v in names.items()]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/tunes",
        "query_string": b"",
        "headers": raw,
    }
    return asyncio.run(
        forms.read(Request(scope, next_message), folder, limits or Limits(), turn or nullcontext())
    )


def multipart(parts: Iterable[tuple[str, bytes]], closed: bool = True) -> bytes:
    """Parts are what follows `form-data; ` and the value."""
    text = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + value + b"\r\n"
        for head, value in parts
    )
    return text + (f"--{BOUNDARY}--\r\n".encode() if closed else b"")


def received(
    folder: Path, parts: Iterable[tuple[str, bytes]], limits: Limits | None = None
) -> dict[str, Any]:
    return receive(folder, multipart(parts), f"multipart/form-data; boundary={BOUNDARY}", limits)


def flat(pairs: str) -> dict[str, Any]:
    return forms.nest(
        [(name, value) for name, _, value in (pair.partition("=") for pair in pairs.split("&"))]
    )


# Bracket names


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ("tune[title]=a&tune[name]=man", {"tune": {"title": "a", "name": "man"}}),
        ("a=1&a=2", {"a": "2"}),
        ("a[]=1&a[]=2", {"a": ["1", "2"]}),
        ("a[0]=x&a[1]=y", {"a": ["x", "y"]}),
        ("a[10]=c&a[9]=b&a[1]=a", {"a": ["a", "b", "c"]}),
        ("a[999999999]=far", {"a": ["far"]}),
        ("a[9999999999]=key", {"a": {"9999999999": "key"}}),
        ("a[0]=x&a[b]=y", {"a": {"0": "x", "b": "y"}}),
        ("0=x", {"0": "x"}),
        (
            "p[][t]=1&p[][f]=2&p[][t]=3&p[][f]=4",
            {"p": [{"t": "1", "f": "2"}, {"t": "3", "f": "4"}]},
        ),
        (
            "p[][t]=1&p[][i][]=2&p[][i][]=3&p[][t]=4",
            {"p": [{"t": "1", "i": ["2", "3"]}, {"t": "4"}]},
        ),
        (
            "p[][o][x]=1&p[][o][y]=2&p[][o][x]=3",
            {"p": [{"o": {"x": "1", "y": "2"}}, {"o": {"x": "3"}}]},
        ),
        ("p[0][t]=1&p[0][f]=2&p[1][t]=3", {"p": [{"t": "1", "f": "2"}, {"t": "3"}]}),
        ("a[][]=1&a[][]=2", {"a": [["1"], ["2"]]}),
        ("a[b=1&[c]=2&d]=3", {"a[b": "1", "[c]": "2", "d]": "3"}),
        ("=lost&a=1", {"a": "1"}),
    ],
)
def test_names_nest_by_the_rack_rule(pairs: str, expected: dict[str, Any]) -> None:
    assert flat(pairs) == expected


@pytest.mark.parametrize(
    "pairs",
    [
        "a=1&a[b]=2",
        "a[b]=2&a=1",
        "a[]=1&a[b]=2",
        "a[b]=2&a[]=1",
        "a[]=1&a=2",
        "a[][b]=1&a[][b][c]=2",
        "a[0]=1&a[]=2",
    ],
)
def test_a_name_is_one_kind_of_thing(pairs: str) -> None:
    with pytest.raises(BadRequest, match="both as"):
        flat(pairs)


def test_names_have_bounds() -> None:
    assert flat("a[b][c][d][e][f][g][h]=1")
    with pytest.raises(BadRequest, match="deeper than 8"):
        flat("a[b][c][d][e][f][g][h][i]=1")
    assert len(forms.nest((f"k{i}", "v") for i in range(2000))) == 2000
    with pytest.raises(BadRequest, match="more than 2000"):
        forms.nest((f"k{i}", "v") for i in range(2001))


KEY = st.text("ab1 é&=+.%\n", min_size=1, max_size=4).filter(lambda key: not key.isdecimal())
VALUE = st.text("x[]&=é", max_size=3)
TREE = st.dictionaries(
    KEY,
    st.recursive(
        VALUE | st.lists(VALUE, min_size=1, max_size=4),
        lambda inner: (
            st.dictionaries(KEY, inner, min_size=1, max_size=3)
            | st.lists(inner, min_size=1, max_size=3)
        ),
        max_leaves=8,
    ),
    max_size=4,
)


def spelled(value: Any, name: str, spell: Callable[[int, Any], str]) -> list[tuple[str, Any]]:
    """Bracket names of a nested value; `spell` writes the bracket of a list's i-th element."""
    if isinstance(value, dict):
        return [
            pair
            for key, inner in value.items()
            for pair in spelled(inner, f"{name}[{key}]" if name else key, spell)
        ]
    if isinstance(value, list):
        return [
            pair
            for i, inner in enumerate(value)
            for pair in spelled(inner, f"{name}[{spell(i, inner)}]", spell)
        ]
    return [(name, value)]


def levels(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return max((1 + levels(v) for v in inner), default=0)


@UNHURRIED
@given(TREE.filter(lambda tree: levels(tree) <= 8))
def test_a_nested_value_survives_its_bracket_names(tree: dict[str, Any]) -> None:
    assert forms.nest(spelled(tree, "", lambda i, inner: str(i))) == tree
    pushes_where_it_can = spelled(
        tree, "", lambda i, inner: "" if isinstance(inner, str) else str(i)
    )
    if not any(kind_is_mixed(v) for v in everything(tree)):
        assert forms.nest(pushes_where_it_can) == tree


def everything(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(deeper for v in inner for deeper in everything(v))]


def kind_is_mixed(value: Any) -> bool:
    return isinstance(value, list) and len({isinstance(v, str) for v in value}) > 1


@UNHURRIED
@given(st.lists(KEY, min_size=1, max_size=4, unique=True), st.data())
def test_unindexed_objects_with_the_same_keys_come_apart_again(
    keys: list[str], data: st.DataObject
) -> None:
    rows = data.draw(
        st.lists(st.fixed_dictionaries(dict.fromkeys(keys, VALUE)), min_size=1, max_size=5)
    )
    assert forms.nest(spelled({"p": rows}, "", lambda i, inner: "")) == {"p": rows}


@UNHURRIED
@given(st.lists(st.tuples(st.text("ab[]01", max_size=12), VALUE), max_size=12))
def test_any_names_give_a_dict_or_a_bad_request(pairs: list[tuple[str, str]]) -> None:
    with suppress(BadRequest):
        assert isinstance(forms.nest(pairs), dict)


# Encodings


SAME = {"tune": {"title": "me & co", "name": "man", "image_urls": ["https://a/1", "https://a/2"]}}


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain;charset=UTF-8",
        None,
        FORM,
        "image/png",
    ],
)
def test_json_is_known_by_its_look(tmp_path: Path, kind: str | None) -> None:
    assert receive(tmp_path, json.dumps(SAME).encode(), kind) == SAME
    assert receive(tmp_path, b"\xef\xbb\xbf\n " + json.dumps(SAME).encode(), kind) == SAME


@pytest.mark.parametrize(
    "kind", [FORM, f"{FORM};charset=utf-8", "application/json", "text/plain", None]
)
def test_a_form_is_known_by_its_look(tmp_path: Path, kind: str | None) -> None:
    body = b"tune[title]=me+%26+co&tune%5Bname%5D=man&tune[image_urls][]=https://a/1&tune[image_urls][]=https%3A%2F%2Fa%2F2"
    assert receive(tmp_path, body, kind) == SAME


def test_multipart_gives_the_same(tmp_path: Path) -> None:
    parts = [
        ('name="tune[title]"', b"me & co"),
        ("name=tune[name]", b"man"),  # .NET sends no quotes
        ('name="tune[image_urls][]"', b"https://a/1"),
        ('name="tune[image_urls][]"', b"https://a/2"),
    ]
    assert received(tmp_path, parts) == SAME


@pytest.mark.parametrize(
    "kind",
    ["application/json", FORM, "text/plain", f"multipart/form-data; boundary={BOUNDARY}", None],
)
@pytest.mark.parametrize("body", [b"", [b"", b""]])
def test_nothing_is_an_empty_dict(
    tmp_path: Path, kind: str | None, body: bytes | list[bytes]
) -> None:
    assert receive(tmp_path, body, kind) == {}


def test_text_beyond_ascii(tmp_path: Path) -> None:
    assert receive(tmp_path, "a=Zoë&b=%C3%A9".encode(), FORM) == {"a": "Zoë", "b": "é"}
    assert received(tmp_path, [('name="clé"', "日本".encode())]) == {"clé": "日本"}


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1',
        b"[1, 2]",
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": "\\u0000"}',
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"a": ' + b"1" * 5000 + b"}",
        b'{"a": "\xff"}',
        b"12",
        b"hello",
    ],
)
def test_malformed_json_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BadRequest):
        receive(tmp_path, body, "application/json")


@pytest.mark.parametrize(
    "body", [b"a=%FF", b"a=%00", b"a=1&a[b]=2", "&".join(["a=1"] * 2001).encode()]
)
def test_malformed_forms_are_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BadRequest):
        receive(tmp_path, body, FORM)


def test_the_last_of_two_equal_json_keys_counts(tmp_path: Path) -> None:
    assert receive(tmp_path, b'{"a": 1, "a": 2}', "application/json") == {"a": 2}


def test_a_compressed_body_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="compressed"):
        receive(tmp_path, b"\x1f\x8b", "application/json", headers={"content-encoding": "gzip"})


def test_wrapped_wins() -> None:
    assert forms.unwrap({"tune": {"title": "in"}, "title": "out"}, "tune") == {"title": "in"}
    assert forms.unwrap({"title": "out"}, "tune") == {"title": "out"}
    assert forms.unwrap({"theme": "wedding", "tune_ids": [1]}, "theme") == {
        "theme": "wedding",
        "tune_ids": [1],
    }
    assert forms.unwrap({"tune": {}}, "tune") == {}


# Files


def files_in(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def test_files_go_to_disk_under_our_names(tmp_path: Path) -> None:
    body = received(
        tmp_path,
        [
            ('name="tune[images][]"; filename="../../etc/passwd.jpg"', JPEG),
            ('name="tune[images][]"; filename="C:\\photos\\two.png"', PNG),
            ('name="tune[title]"', b"x"),
        ],
    )
    first, second = body["tune"]["images"]
    assert (first.filename, second.filename) == ("passwd.jpg", "two.png")
    assert (first.path.read_bytes(), first.size) == (JPEG, len(JPEG))
    assert second.path.read_bytes() == PNG
    assert files_in(tmp_path) == sorted([first.path, second.path])
    assert all(path.suffix == ".part" and len(path.stem) == 32 for path in files_in(tmp_path))


def test_any_cut_of_the_wire_gives_the_same_files(tmp_path: Path) -> None:
    whole = multipart(
        [
            ('name="tune[images][]"; filename="a.jpg"', JPEG + b"\r\n--" + JPEG),
            ('name="tune[input_image]"', PNG),
        ]
    )
    for size in (1, 7, 61, 1000):
        pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
        body = receive(tmp_path, pieces, f"multipart/form-data; boundary={BOUNDARY}")
        assert body["tune"]["images"][0].path.read_bytes() == JPEG + b"\r\n--" + JPEG
        assert body["tune"]["input_image"].path.read_bytes() == PNG


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("tune[images][]", "tune[images][]"),
        ("photo 1.jpg", "photo 1.jpg"),
        ("a/b\\c.txt", "c.txt"),
        ("nul\0and\x07bell.jpg", "nulandbell.jpg"),
        ("gpj.\u202eexe.jpg", "gpj.exe.jpg"),
        ("x" * 300 + ".jpeg", "x" * 195 + ".jpeg"),
        ("x" * 300, "x" * 200),
        ("dir/", "file"),
        ("日本.png", "日本.png"),
    ],
)
def test_filenames_are_cleaned(tmp_path: Path, given: str, kept: str) -> None:
    body = received(tmp_path, [(f'name="images[]"; filename="{given}"', JPEG)])
    assert body["images"][0].filename == kept


@pytest.mark.parametrize(
    "name",
    [
        "tune[images][]",
        "tune[images][3]",
        "file",
        "tune[lora_file]",
        "tune[prompts_attributes][0][input_image]",
    ],
)
def test_bytes_without_a_filename_are_a_file_where_files_come(tmp_path: Path, name: str) -> None:
    for content in (JPEG, b"\x89PNG", PNG * 100):
        body = received(tmp_path, [(f'name="{name}"', content)])
        (upload,) = forms.uploads(body)
        assert upload.path.read_bytes() == content


@pytest.mark.parametrize(
    "text",
    ["", "null", "https://example.org/a.jpg?token=é", "data:image/png;base64," + "iVBO" * 2000],
)
def test_text_without_a_filename_stays_text(tmp_path: Path, text: str) -> None:
    body = received(tmp_path, [('name="prompt[input_image]"', text.encode())])
    assert body == {"prompt": {"input_image": text}}
    assert not files_in(tmp_path)


def test_an_empty_file_field_of_a_browser_is_no_file(tmp_path: Path) -> None:
    assert received(tmp_path, [('name="tune[images][]"; filename=""', b"")]) == {
        "tune": {"images": [""]}
    }


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    (upload,) = received(tmp_path, [('name="images[]"; filename="a.jpg"', b"")])["images"]
    assert (upload.size, upload.path.read_bytes()) == (0, b"")


def test_photos_under_one_name_without_brackets_are_all_kept(tmp_path: Path) -> None:
    body = received(
        tmp_path, [(f'name="tune[images]"; filename="{i}.jpg"', JPEG) for i in range(3)]
    )
    assert [upload.filename for upload in body["tune"]["images"]] == ["0.jpg", "1.jpg", "2.jpg"]


def test_files_of_unindexed_objects_stay_with_their_object(tmp_path: Path) -> None:
    rows = [
        part
        for i in range(2)
        for part in [
            ('name="tune[prompts_attributes][][text]"', b"%d" % i),
            (f'name="tune[prompts_attributes][][input_image]"; filename="{i}.png"', PNG),
        ]
    ]
    attributes = received(tmp_path, rows)["tune"]["prompts_attributes"]
    assert [(row["text"], row["input_image"].filename) for row in attributes] == [
        ("0", "0.png"),
        ("1", "1.png"),
    ]


def test_a_file_that_a_later_one_replaces_is_removed(tmp_path: Path) -> None:
    body = received(
        tmp_path, [('name="file"; filename="a"', JPEG), ('name="file"; filename="b"', PNG)]
    )
    assert body["file"].filename == "b"
    assert files_in(tmp_path) == [body["file"].path]


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    body = received(tmp_path, [(f'name="tune[images][]"; filename="{i}"', JPEG) for i in range(3)])
    next(forms.uploads(body)).path.unlink()
    forms.discard(body)
    assert not files_in(tmp_path)


SMALL = Limits(file=5000, request=30_000, files=3, field=1000, text=3000)


@pytest.mark.parametrize(
    "parts",
    [
        [('name="images[]"; filename="a"', b"\xff" * 5001)],
        [('name="images[]"', b"\xff" * 5001)],
        [(f'name="images[]"; filename="{i}"', JPEG) for i in range(4)],
        [('name="images[]"; filename="a"', b"\xff" * 4000)] * 3
        + [('name="note"', b"x" * 900)] * 20,
        [('name="images[]"; filename="a"', JPEG), ('name="title"', b"x" * 1001)],
        [('name="images[]"; filename="a"', JPEG), ('name="input_image_base64"', b"x" * 3001)],
        [('name="images[]"; filename="a"', JPEG), *[('name="title"', b"x" * 1000)] * 4],
        [('name="images[]"; filename="a"', JPEG), *[('name="a"', b"")] * 2001],
    ],
    ids=["file", "nameless file", "files", "request", "field", "base64", "text", "pairs"],
)
def test_what_is_too_large_is_refused_and_removed(
    tmp_path: Path, parts: list[tuple[str, bytes]]
) -> None:
    limits = Limits(**{**vars(SMALL), "request": 200_000}) if len(parts) > 2000 else SMALL
    with pytest.raises(TooLarge):
        received(tmp_path, parts, limits)
    assert not files_in(tmp_path)


def test_base64_may_be_longer_than_a_field(tmp_path: Path) -> None:
    body = received(tmp_path, [('name="prompt[input_image_base64]"', b"A" * 2500)], SMALL)
    assert len(body["prompt"]["input_image_base64"]) == 2500


def test_a_body_that_says_it_is_too_large_is_not_read(tmp_path: Path) -> None:
    for length in ("3001", "9" * 5000):
        with pytest.raises(TooLarge):
            receive(tmp_path, [], "application/json", SMALL, headers={"content-length": length})


def test_a_large_text_body_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        receive(tmp_path, [b" " * 100] * 31, "application/json", SMALL)


MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"
PHOTO = ('name="images[]"; filename="a.jpg"', JPEG * 300)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (multipart([PHOTO], closed=False), MULTIPART),
        (multipart([PHOTO], closed=False) + b"--what is this", MULTIPART),
        (multipart([PHOTO, ("size=4", b"x")]), MULTIPART),
        (multipart([PHOTO, ('name="a"', b"\xff\xfe")]), MULTIPART),
        (multipart([PHOTO, ('name="a"', b"\0")]), MULTIPART),
        (multipart([PHOTO, ('name="images[b]"', b"x")]), MULTIPART),
        (multipart([PHOTO]).replace(b"Content-Disposition", b"Content Disposition"), MULTIPART),
        (multipart([PHOTO]), "multipart/form-data"),
        (multipart([PHOTO]), f"multipart/form-data; boundary={'x' * 500}"),
        (multipart([PHOTO]), "multipart/form-data; boundary=other"),
        (b"nothing of the kind", MULTIPART),
    ],
)
def test_malformed_multipart_is_refused_and_removed(tmp_path: Path, body: bytes, kind: str) -> None:
    pieces = [body[i : i + 65536] for i in range(0, len(body), 65536)]
    with pytest.raises(BadRequest):
        receive(tmp_path, pieces, kind)
    assert not files_in(tmp_path)


@pytest.mark.parametrize("ending", [{"type": "http.disconnect"}, {"type": "silence"}])
def test_a_body_that_breaks_off_leaves_nothing(tmp_path: Path, ending: dict[str, Any]) -> None:
    body = multipart([('name="images[]"; filename="a.jpg"', JPEG * 300)], closed=False)
    pieces = [body[i : i + 65536] for i in range(0, len(body), 65536)]
    with pytest.raises(BadRequest, match=r"broke off|stopped coming"):
        receive(tmp_path, pieces, MULTIPART, Limits(stall=0.05), ending)
    assert not files_in(tmp_path)


def test_a_cancelled_upload_leaves_nothing(tmp_path: Path) -> None:
    body = multipart([('name="images[]"; filename="a.jpg"', JPEG * 300)], closed=False)
    written = asyncio.Event()

    async def run() -> None:
        messages = iter([{"type": "http.request", "body": body, "more_body": True}])

        async def next_message() -> dict[str, Any]:
            for message in messages:
                return message
            written.set()
            return await asyncio.Event().wait()  # type: ignore[return-value]

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": [(b"content-type", MULTIPART.encode())],
        }
        task = asyncio.create_task(
            forms.read(Request(scope, next_message), tmp_path, Limits(), nullcontext())
        )
        await written.wait()
        assert files_in(tmp_path)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert not files_in(tmp_path)


# Values

INFINITE = [float("inf"), float("-inf"), float("nan"), "NaN", "inf", "-Infinity", "1e999", 10**400]


def test_a_long_json_body_is_parsed_like_a_short_one(tmp_path: Path) -> None:
    long = {"prompt": {"text": "A" * 200_000}}
    assert receive(tmp_path, json.dumps(long).encode(), "application/json") == long
    with pytest.raises(BadRequest):
        receive(tmp_path, json.dumps(long).encode()[:-1], "application/json")


PART = st.tuples(
    st.sampled_from(
        [
            'name="tune[images][]"; filename="a.jpg"',
            'name="input_image"',
            'name="tune[title]"',
            'name="a[][b]"',
            "name=",
            "x",
        ]
    ),
    st.sampled_from([b"", b"text", JPEG, b"\r\n--", f"\r\n--{BOUNDARY}".encode()])
    | st.binary(max_size=40),
)


@UNHURRIED
@given(
    st.lists(PART, max_size=5),
    st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=4)), max_size=3),
    st.integers(1, 400),
)
def test_any_damage_to_a_multipart_body_is_read_or_refused(
    parts: list[Any], damage: list[tuple[int, bytes]], size: int
) -> None:
    wire = bytearray(multipart(parts))
    for place, bytes_there in damage:
        wire[place : place + len(bytes_there)] = bytes_there
    with tempfile.TemporaryDirectory() as name:
        folder, found = Path(name), set[Path]()
        with suppress(BadRequest, TooLarge):
            body = receive(
                folder, [bytes(wire[i : i + size]) for i in range(0, len(wire), size)], MULTIPART
            )
            found = {upload.path for upload in forms.uploads(body)}
        assert set(files_in(folder)) == found


@UNHURRIED
@given(
    st.binary(max_size=60) | st.text('{}[]":,&=%u0d8 1eE-+.', max_size=60).map(str.encode),
    st.sampled_from([FORM, "application/json", ""]),
)
def test_any_text_body_is_read_or_refused(raw: bytes, declared: str) -> None:
    with suppress(BadRequest):
        json.dumps(forms.parse_text(raw, declared), allow_nan=False, ensure_ascii=False).encode()


# What costs more to read than to send

PICTURE = JPEG * 100  # more than stays text in base64


Wrap = Callable[[str], tuple[bytes, str]]


def in_json(text: str) -> tuple[bytes, str]:
    return json.dumps({"prompt": {"input_image_base64": text}}).encode(), "application/json"


def in_multipart(text: str) -> tuple[bytes, str]:
    return multipart([('name="prompt[input_image_base64]"', text.encode())]), MULTIPART


@pytest.mark.parametrize("wrapped", [in_json, in_multipart])
@pytest.mark.parametrize("before", ["", "data:image/jpeg;base64,"])
def test_a_picture_in_base64_is_a_file_before_anything_waits(
    tmp_path: Path, wrapped: Wrap, before: str
) -> None:
    body, kind = wrapped(before + base64.b64encode(PICTURE).decode())
    upload = receive(tmp_path, body, kind)["prompt"]["input_image_base64"]
    assert upload.path.read_bytes() == PICTURE and upload.size == len(PICTURE)
    assert files_in(tmp_path) == [upload.path]


@pytest.mark.parametrize("wrapped", [in_json, in_multipart])
def test_what_is_no_base64_is_named_and_leaves_nothing(tmp_path: Path, wrapped: Wrap) -> None:
    body, kind = wrapped("?" * 100_000)
    with pytest.raises(Invalid, match="is not base64"):
        receive(tmp_path, body, kind)
    assert not files_in(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        many_values(60_000),
        b'{"a":"' + b"," * 30_000 + b'"}',
        b"[" * 30_000,
        b'{"a":"' + b"\\n" * 600_000 + b'"}',
        b'{"text":"' + b"x" * 1_100_000 + b'"}',
        b"a=" + b"%41" * 400_000,
    ],
    ids=["values", "commas", "levels", "escapes", "text", "form"],
)
def test_what_would_take_long_to_parse_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(TooLarge):
        receive(
            tmp_path,
            body,
            "application/json" if body[:1] == b"{" else FORM,
            Limits(text=16_000_000),
        )
    assert not files_in(tmp_path)


def test_a_body_of_too_many_values_is_not_read_to_its_end(tmp_path: Path) -> None:
    pieces = [b'{"a":['] + [b"0," * 10_000] * 3
    with pytest.raises(TooLarge):
        receive(tmp_path, pieces, "application/json", ending={"type": "silence"})


def test_a_long_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="digits"):
        receive(tmp_path, b'{"seed":1.' + b"1" * 2000 + b"}")


@pytest.mark.parametrize(("length", "turns"), [(100, 0), (500_000, 1)])
def test_a_long_text_is_parsed_in_its_turn(tmp_path: Path, length: int, turns: int) -> None:
    taken = []

    @asynccontextmanager
    async def turn() -> AsyncIterator[None]:
        taken.append(length)
        yield

    body = b'{"text":"' + b"x" * length + b'"}'
    assert len(receive(tmp_path, body, turn=turn())["text"]) == length
    assert len(taken) == turns
