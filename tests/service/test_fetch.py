"""Downloads over real sockets: what is fetched, what is refused, and that what is refused never
saw a connection."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fluxbooth.service.outgoing import outbound
from fluxbooth.service.outgoing.fetch import FetchError, FetchRules, fetch
from tests.support.in_process_server import in_process_server
from tests.support.servers import Server, response, serving

PICTURE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 1000


def own(*servers: Server, **rules: Any) -> FetchRules:
    """Rules of somebody whose pictures are on his own machine."""
    ports = frozenset(server.port for server in servers)
    return FetchRules(**{"allow_private": True, "ports": ports, "seconds": 60.0, **rules})


def refused(url: str, target: Path, rules: FetchRules) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch(url, target, rules)
    assert not list(target.parent.iterdir())
    return caught.value


def test_a_picture_arrives_whole(tmp_path: Path) -> None:
    with serving(response(200, PICTURE)) as server:
        fetched = fetch(
            f"{server.url}/a%20b c/é.jpg?x=%7e|&y#part", tmp_path / "one.jpg", own(server)
        )
    assert fetched.path.read_bytes() == PICTURE
    assert (fetched.size, fetched.path) == (len(PICTURE), tmp_path / "one.jpg")
    assert [p.name for p in tmp_path.iterdir()] == ["one.jpg"]
    head = server.requests[0].split(b"\r\n")
    assert head[0] == b"GET /a%20b%20c/%C3%A9.jpg?x=%7e|&y HTTP/1.1"
    assert f"Host: 127.0.0.1:{server.port}".encode() in head


def test_a_chunked_picture_arrives_whole(tmp_path: Path) -> None:
    chunked = (
        b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (PICTURE[:1000], PICTURE[1000:]))
        + b"0\r\n\r\n"
    )
    with serving(response(200, chunked, transfer_encoding="chunked")) as server:
        assert fetch(server.url, tmp_path / "a", own(server)).path.read_bytes() == PICTURE


def test_redirects_are_followed_as_far_as_allowed(tmp_path: Path) -> None:
    def answer(server: Server, connection: socket.socket) -> None:
        step = int(server.requests[-1].split()[1].rpartition(b"/")[2])
        connection.sendall(
            response(200, PICTURE) if step == 5 else response(302, location=f"/pictures/{step + 1}")
        )

    with serving(answer) as server:
        assert (
            fetch(f"{server.url}/pictures/0", tmp_path / "a", own(server)).url
            == f"{server.url}/pictures/5"
        )
        (tmp_path / "a").unlink()
        error = refused(f"{server.url}/pictures/0", tmp_path / "a", own(server, redirects=4))
        assert "redirects more than 4 times" in str(error)


# What may be asked for


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("file:///etc/passwd", "not an http or https address"),
        ("gopher://127.0.0.1/", "not an http or https address"),
        ("data:image/png;base64,iVBO", "not an http or https address"),
        ("//example.org/a.jpg", "not an http or https address"),
        ("http:///a.jpg", "not an http or https address"),
        ("http://exa mple.org/", "not an http or https address"),
        ("http://example.org\\@127.0.0.1/", "not an http or https address"),
        ("http://a..b/", "not an http or https address"),
        ("http://\ud800/", "not an http or https address"),
        ("http://[::1", "not an http or https address"),
        ("http://[fe80::1%eth0]/", "not an http or https address"),
        ("http://example.org:99999/", "must use port 80 or 443"),
        ("http://example.org:22/", "must use port 80 or 443"),
        ("http://user:pass@example.org/", "must not contain a user name"),
        ("http://example.org@127.0.0.1/", "must not contain a user name"),
        ("http://example.org/" + "a" * 8000, "not an http or https address"),
        ("", "not an http or https address"),
    ],
)
def test_addresses_that_are_never_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    monkeypatch.setattr(socket, "create_connection", no_connection)
    rules = FetchRules(resolve=no_resolution)
    error = refused(url, tmp_path / "a", rules)
    assert words in str(error)
    assert "pass@" not in str(error)


def no_connection(*args: Any, **kwargs: Any) -> Any:
    raise AssertionError(f"a connection to {args}")


def no_resolution(host: str, port: int) -> list[str]:
    raise AssertionError(f"a question for {host}")


FORBIDDEN = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.1.2.3",
    "169.254.169.254", "168.63.129.16", "172.16.0.1", "172.31.255.255", "192.0.0.192",
    "192.168.1.1", "198.18.0.1", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe",
    "64:ff9b::7f00:1", "64:ff9b:1::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1",
    "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "fe80::1%eth0",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "93.184.216.34", "172.32.0.1", "192.0.1.1", "100.128.0.1", "2606:4700::1111",
    "2a00:1450::1", "::ffff:1.1.1.1", "64:ff9b::101:101",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_a_name_that_leads_to_a_forbidden_address_is_not_connected_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setattr(socket, "create_connection", no_connection)
    for answer in ([address], ["1.1.1.1", address]):
        error = refused(
            "http://shop.test/a.jpg?key=1",
            tmp_path / "a",
            FetchRules(resolve=lambda host, port, answer=answer: answer),
        )
        assert str(error) == (
            "http://shop.test/a.jpg cannot be reached: use an address that opens from the public internet without a login."
        )
        assert address in error.reason


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_public(address: str) -> None:
    assert not outbound.is_forbidden(address)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "224.0.0.1",
        "fe80::1",
        "0.0.0.0",
        "::",
    ],
)
def test_one_s_own_network_does_not_include_what_is_nobody_s(address: str) -> None:
    assert outbound.is_forbidden(address, allow_private=True)
    assert not outbound.is_forbidden("192.168.1.7", allow_private=True)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "１２７.0.0.1",
    ],
)
def test_every_spelling_of_this_machine_is_refused(tmp_path: Path, host: str) -> None:
    with serving(response(200, PICTURE)) as server:
        refused(
            f"http://{host}:{server.port}/",
            tmp_path / "a",
            FetchRules(ports=frozenset({server.port})),
        )
    assert server.connections == 0


def test_the_causes_of_silence_cannot_be_told_apart(tmp_path: Path) -> None:
    def unknown(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    url, ports = f"http://shop.test:{port}/", frozenset({port})
    rules = [
        FetchRules(ports=ports, resolve=unknown),
        FetchRules(ports=ports, resolve=lambda host, port: []),
        FetchRules(ports=ports, resolve=lambda host, port: ["10.0.0.1"]),
        # nobody listens there
        FetchRules(ports=ports, resolve=lambda host, port: ["127.0.0.1"], allow_private=True),
    ]
    messages = {str(refused(url, tmp_path / "a", rule)) for rule in rules}
    assert len(messages) == 1


class Internet:
    """`socket.create_connection` for a test: every address leads to the server, and it is
    written down which were asked for."""

    def __init__(self, server: Server) -> None:
        self.server, self.asked = server, []
        self.connect = socket.create_connection

    def __call__(self, address: tuple[str, int], timeout: float) -> socket.socket:
        self.asked.append(address)
        return self.connect(("127.0.0.1", self.server.port), timeout)


def test_a_redirect_to_a_private_address_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locations = [
        "http://127.0.0.1/",
        "http://169.254.169.254/latest",
        "//10.0.0.1/",
        "http://[::1]/",
        "ftp://1.1.1.1/",
        "http://1.1.1.1:22/",
    ]
    for location in [*locations, "http://u:p@1.1.1.1/", "http://[::1"]:
        with serving(response(302, location=location)) as server:
            internet = Internet(server)
            monkeypatch.setattr(socket, "create_connection", internet)
            numbers = FetchRules(
                resolve=lambda host, port: ["93.184.216.34"] if host == "shop.test" else [host]
            )
            error = refused("http://shop.test/a.jpg", tmp_path / "a", numbers)
            monkeypatch.undo()
        assert internet.asked == [("93.184.216.34", 80)]
        assert str(error).startswith("http://shop.test/a.jpg cannot be reached")


def test_a_name_that_changes_its_mind_is_asked_once_per_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    asked = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return next(answers)

    with serving(response(302, location="/again")) as server:
        internet = Internet(server)
        monkeypatch.setattr(socket, "create_connection", internet)
        error = refused("http://rebind.test/", tmp_path / "a", FetchRules(resolve=rebinding))
    assert asked == ["rebind.test"] * 2
    # connected to what was checked, and the second answer to nothing
    assert internet.asked == [("93.184.216.34", 80)]
    assert "127.0.0.1" in error.reason


def test_the_next_address_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(response(200, PICTURE)) as server:
        internet = Internet(server)

        def half_dead(address: tuple[str, int], timeout: float) -> socket.socket:
            if ":" in address[0]:
                raise ConnectionRefusedError("refused")
            return internet(address, timeout)

        monkeypatch.setattr(socket, "create_connection", half_dead)
        fetch(
            "http://shop.test/",
            tmp_path / "a",
            FetchRules(resolve=lambda host, port: ["2606:4700::1", "1.1.1.1"]),
        )
    assert internet.asked == [("1.1.1.1", 80)]


def test_names_of_other_scripts_are_asked_for_in_ascii(tmp_path: Path) -> None:
    asked = []

    def note(host: str, port: int) -> list[str]:
        asked.append(host)
        return []

    refused("https://Bücher.example/", tmp_path / "a", FetchRules(resolve=note))
    refused("https://аpple.com/", tmp_path / "a", FetchRules(resolve=note))
    assert asked == ["xn--bcher-kva.example", "xn--pple-43d.com"]


# What comes back


def endless(server: Server, connection: socket.socket) -> None:
    connection.sendall(response(200, transfer_encoding="chunked"))
    server.drip(connection, b"%x\r\n%s\r\n" % (len(PICTURE), PICTURE), every=0)


def test_a_body_that_is_too_long_is_given_up(tmp_path: Path) -> None:
    for answer in (
        endless,
        response(200, PICTURE),
        response(200, PICTURE, content_length=str(2 * 10**10)),
    ):
        with serving(answer) as server:
            error = refused(server.url, tmp_path / "a", own(server, largest=2**17))
        assert "is larger than 0.125 MB" in str(error)


def test_a_body_of_exactly_the_largest_size_is_taken(tmp_path: Path) -> None:
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PICTURE), PICTURE)
    for answer in (response(200, PICTURE), response(200, chunked, transfer_encoding="chunked")):
        with serving(answer) as server:
            assert fetch(server.url, tmp_path / "a", own(server, largest=len(PICTURE))).size == len(
                PICTURE
            )
            (tmp_path / "a").unlink()
            refused(server.url, tmp_path / "a", own(server, largest=len(PICTURE) - 1))


def test_a_drip_ends_at_the_deadline(tmp_path: Path) -> None:
    def body(server: Server, connection: socket.socket) -> None:
        connection.sendall(response(200, content_length="1000000"))
        server.drip(connection, b"x")

    def head(server: Server, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        server.drip(connection, b"x")

    def interim(server: Server, connection: socket.socket) -> None:
        server.drip(connection, b"HTTP/1.1 100 Continue\r\n\r\n")

    def circle(server: Server, connection: socket.socket) -> None:
        server.over.wait(0.05)
        connection.sendall(response(302, location="/"))

    def silence(server: Server, connection: socket.socket) -> None:
        server.over.wait()

    for answer in (body, head, interim, circle, silence):
        with serving(answer) as server:
            error = refused(server.url, tmp_path / "a", own(server, seconds=0.5, redirects=10**6))
        # it may end while connecting
        assert "took longer than 0.5 seconds" in str(error) or answer is circle


def test_a_resolver_that_hangs_ends_at_the_deadline(tmp_path: Path) -> None:
    with serving(b"") as server:

        def hang(host: str, port: int) -> list[str]:
            server.over.wait()
            return []

        error = refused("http://slow.test/", tmp_path / "a", FetchRules(seconds=0.2, resolve=hang))
    assert "cannot be reached" in str(error)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (response(200, PICTURE, content_length=str(len(PICTURE) + 1)), "broke off"),
        (response(200, b"%x\r\nabc" % 50, transfer_encoding="chunked"), "broke off"),
        (b"", "broke off"),
        (b"SSH-2.0-OpenSSH_9.7\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "broke off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n", "broke off"),
        (response(404, b"secret"), "answered with status 404"),
        (response(206, PICTURE), "answered with status 206"),
        (response(200, PICTURE, content_encoding="gzip"), "compressed"),
        (response(302), "redirects to nowhere"),
    ],
)
def test_answers_that_are_no_picture(tmp_path: Path, answer: bytes, words: str) -> None:
    with serving(answer) as server:
        error = refused(server.url, tmp_path / "a", own(server))
    assert words in str(error)
    assert "secret" not in str(error)


def test_a_target_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with serving(response(200, PICTURE)) as server, pytest.raises(OSError):
        fetch(server.url, tmp_path / "missing" / "a", own(server))
    assert not list(tmp_path.iterdir())


def certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    path = folder / "own.pem"
    options = [
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run(
        ["openssl", "req", "-x509", *options, "-keyout", path, "-out", folder / "c"],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (folder / "c").read_bytes())
    return path


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command")
def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    folder = tmp_path / "pictures"
    folder.mkdir()
    with serving(response(200, PICTURE), tls) as server:
        rules = own(server)
        assert "CERTIFICATE_VERIFY_FAILED" in refused(server.url, folder / "a", rules).reason
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        outbound._tls.cache_clear()
        assert fetch(server.url, folder / "a", rules).path.read_bytes() == PICTURE
        (folder / "a").unlink()
        named = dataclasses.replace(rules, resolve=lambda host, port: ["127.0.0.1"])
        assert (
            "hostname"
            in refused(f"https://other.test:{server.port}/", folder / "a", named).reason.lower()
        )
    outbound._tls.cache_clear()


def test_proxies_of_the_environment_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(response(200, PICTURE)) as server, serving(response(200, b"proxied")) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        fetch(server.url, tmp_path / "a", own(server))
    assert proxy.connections == 0


def test_an_address_that_is_never_asked_is_refused_with_the_request(
    blank: Path, tmp_path: Path
) -> None:
    with in_process_server(blank, tmp_path / "data", private_network=False) as opened:
        for host in ("127.0.0.1", "[::1]", "169.254.169.254", "localhost", "0x7f000001", "a.lan"):
            url = f"http://{host}/a.png"
            for asked in ({"input_image_url": url}, {"input_image": url}):
                answer = opened.http.post("/prompts", json={"text": "a man", **asked})
                said = answer.json().get("input_image", [""])[0]
                assert answer.status_code == 422, url
                assert "cannot be reached" in said, answer.text
        assert opened.http.get("/prompts").json() == []
