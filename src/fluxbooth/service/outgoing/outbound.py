"""The one door to other hosts: where a request may go is decided on the address it connects to, not
on the name it was given.

A name is resolved once per connection, every address in the answer is checked, and the socket is
opened to one of those very addresses. So a name that answers differently the second time, a
redirect and an unusual spelling (`0x7f000001`) change nothing, and a forbidden address never sees a
packet. One deadline covers everything: name, handshake, each byte, all redirects.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import httpcore2
import idna

from fluxbooth.errors import InputError
from fluxbooth.version import __version__

LONGEST_URL = 8000
DEFAULT_PORTS = {"http": 80, "https": 443}
MOST_ADDRESSES = 4  # tried of one name
USER_AGENT = f"fluxbooth/{__version__}"

_URL = re.compile(r"(https?)://([^/?#\\\s]+)([/?][^#]*)?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::([0-9]{0,5}))?", re.IGNORECASE)
_NAME = re.compile(r"([a-z0-9_-]{1,63}\.){0,120}[a-z0-9_-]{1,63}\.?")


def _networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    return [ipaddress.ip_network(word) for word in text.split()]


NEVER = _networks(
    "0.0.0.0/8 169.254.0.0/16 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.51.100.0/24 "
    "203.0.113.0/24 224.0.0.0/4 240.0.0.0/4 "
    # where clouds tell their machines their secrets
    "100.100.100.200/32 168.63.129.16/32 fd00:ec2::254/128 fd20:ce::254/128 2001::/23 "
    "2001:db8::/32 2002::/16 3fff::/20"
)
PRIVATE = _networks(
    "10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 172.16.0.0/12 192.168.0.0/16 198.18.0.0/15 ::1/128 "
    "fc00::/7"
)
PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
CARRIES_V4 = _networks("::ffff:0:0/96 64:ff9b::/96")


class FetchError(InputError):
    """A request to elsewhere that came to nothing. The message is for the user and says nothing
    about what is behind an address; `reason` is for the operator's log. `in_doubt`: whether the
    request may have arrived, and only its answer did not.
    """

    def __init__(self, message: str, reason: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.reason, self.in_doubt = reason, in_doubt


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, by the system's resolver. Raises OSError."""
    found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class FetchRules:
    """What may be asked of other hosts.

    `allow_private` is for one's own network; link-local and metadata addresses stay refused.
    """

    allow_private: bool = False
    ports: frozenset[int] = frozenset(DEFAULT_PORTS.values())
    seconds: float = 30.0
    """For everything together."""
    largest: int = 20 * 2**20
    """Bytes of a body."""
    redirects: int = 5
    resolve: Callable[[str, int], list[str]] = resolve


def is_forbidden(address: str, allow_private: bool = False) -> bool:
    """Whether an address, as a resolver gives it, must not be connected to."""
    ip = ipaddress.ip_address(address)
    if any(ip in network for network in CARRIES_V4):
        ip = ipaddress.IPv4Address(ip.packed[-4:])
    if any(ip in network for network in NEVER):
        return True
    if any(ip in network for network in PRIVATE):
        return not allow_private
    return ip.version == 6 and ip not in PUBLIC_V6


@dataclass(frozen=True)
class Place:
    """A URL taken apart.

    `target` is what follows the host, byte for byte as far as HTTP can carry it.
    """

    scheme: str
    host: str
    port: int
    target: bytes

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target.decode()}"


def parse(url: str, ports: Iterable[int]) -> Place:
    """Raises ValueError with the end of a sentence (`must not contain ...`) for what may not be
    asked for."""
    match = _URL.fullmatch(url.strip())
    if not match or len(url) > LONGEST_URL:
        raise ValueError("is not an http or https address")
    scheme, authority, target = match[1].lower(), match[2], match[3] or "/"
    if "@" in authority:
        raise ValueError("must not contain a user name or password")
    found = _AUTHORITY.fullmatch(authority)
    if not found:
        raise ValueError("is not an http or https address")
    port = int(found[2] or DEFAULT_PORTS[scheme])
    if port not in ports:
        raise ValueError(f"must use port {' or '.join(str(p) for p in sorted(ports))}")
    if not target.startswith("/"):
        target = "/" + target
    try:
        host, raw = _host(found[1]), target.encode()
    except ValueError as error:  # idna's and the codec's errors are ValueErrors too
        raise ValueError("is not an http or https address") from error
    return Place(
        scheme, host, port, re.sub(rb"[^\x21-\x7e]", lambda byte: b"%%%02X" % byte[0][0], raw)
    )


def _host(text: str) -> str:
    if text.startswith("["):
        return str(ipaddress.IPv6Address(text[1:-1]))
    name = text.lower() if text.isascii() else idna.encode(text, uts46=True).decode()
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError(name)
    return name


class Trip:
    """One errand to elsewhere with all its redirects: its rules, its deadline, and the name it
    has in messages."""

    def __init__(self, url: str, rules: FetchRules) -> None:
        self.rules, self.deadline = rules, time.monotonic() + rules.seconds
        try:
            self.start = parse(url, rules.ports)
        except ValueError as error:
            self.shown = repr(re.sub(r"//[^/?#]*@", "//...@", url)[:100])
            raise self.failed(f"{error}.", str(error)) from error
        path = self.start.target.partition(b"?")[0].decode()
        self.shown = f"{self.start.scheme}://{self.start.authority}{path}"[:100]

    def failed(self, ending: str, reason: str, *, in_doubt: bool = False) -> FetchError:
        return FetchError(f"{self.shown} {ending}", reason, in_doubt=in_doubt)

    def unreachable(self, reason: str) -> FetchError:
        """The same words for every cause, so that nobody learns here which hosts and ports of a
        private network answer."""
        return self.failed(
            (
                "cannot be reached: use an address that opens from the public internet without a "
                "login."
            ),
            reason,
        )

    def left(self) -> float:
        """Seconds to the deadline. Raises TimeoutError behind it."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"more than {self.rules.seconds:g} seconds")
        return left

    @contextmanager
    def exchange(
        self,
        method: str,
        place: Place,
        headers: Iterable[tuple[str, str]],
        body: bytes | None = None,
    ) -> Generator[httpcore2.Response]:
        """One request on a connection of its own.

        Raises FetchError, also for what goes wrong while the response is read.
        """
        url = httpcore2.URL(
            scheme=place.scheme, host=place.host, port=place.port, target=place.target
        )
        own = [
            ("Host", place.authority),
            ("User-Agent", USER_AGENT),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        tls = _tls() if place.scheme == "https" else None
        raw = [(name.encode(), value.encode()) for name, value in (*own, *headers)]
        try:
            with (
                httpcore2.HTTPConnection(
                    url.origin, ssl_context=tls, network_backend=_Door(self)
                ) as connection,
                connection.stream(method, url, headers=raw, content=body) as response,
            ):
                yield response
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            raise self.unreachable(str(error)) from error
        except httpcore2.TimeoutException as error:
            raise self.failed(
                f"took longer than {self.rules.seconds:g} seconds.", str(error), in_doubt=True
            ) from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise self.failed(
                "broke off or did not answer in HTTP.", str(error), in_doubt=True
            ) from error


@functools.cache
def _tls() -> ssl.SSLContext:
    return httpcore2.default_ssl_context()


class _Door(httpcore2.NetworkBackend):
    """Opens sockets, and only to addresses that were checked."""

    def __init__(self, trip: Trip) -> None:
        self.trip = trip

    def connect_tcp(
        self, host: str, port: int, *args: object, **kwargs: object
    ) -> httpcore2.NetworkStream:
        try:
            addresses = self._addresses(host, port)[:MOST_ADDRESSES]
            for tries_left in range(len(addresses), 0, -1):
                try:
                    address = (addresses[-tries_left], port)
                    return _Wire(
                        socket.create_connection(address, timeout=self.trip.left() / tries_left),
                        self.trip,
                    )
                except OSError:
                    if tries_left == 1:
                        raise
        except OSError as error:
            raise httpcore2.ConnectError(f"{host}: {error}") from error
        raise httpcore2.ConnectError(f"{host} has no address")

    def _addresses(self, host: str, port: int) -> list[str]:
        """Checked. In a thread because the system's resolver knows no deadline."""
        answer: Future[list[str]] = Future()

        def ask() -> None:
            try:
                answer.set_result(self.trip.rules.resolve(host, port))
            except Exception as error:  # raised again where the answer is waited for
                answer.set_exception(error)

        threading.Thread(target=ask, daemon=True).start()
        addresses = answer.result(self.trip.left())
        for address in addresses:
            if is_forbidden(address, self.trip.rules.allow_private):
                raise httpcore2.ConnectError(f"{host} is {address}, which is not a public address")
        return addresses


class _Wire(httpcore2.NetworkStream):
    """A socket whose every wait ends at the trip's deadline; httpcore's own timeouts begin anew
    with each byte."""

    def __init__(self, connected: socket.socket, trip: Trip) -> None:
        self.socket, self.trip = connected, trip
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _named(httpcore2.ReadTimeout, httpcore2.ReadError):
            self.socket.settimeout(self.trip.left())
            return self.socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _named(httpcore2.WriteTimeout, httpcore2.WriteError):
            while buffer:
                self.socket.settimeout(self.trip.left())
                buffer = buffer[self.socket.send(buffer) :]

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        try:
            with _named(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                self.socket.settimeout(self.trip.left())
                return _Wire(
                    ssl_context.wrap_socket(self.socket, server_hostname=server_hostname), self.trip
                )
        except (httpcore2.ConnectTimeout, httpcore2.ConnectError):
            self.close()
            raise

    def close(self) -> None:
        self.socket.close()

    def get_extra_info(self, info: str) -> ssl.SSLSocket | None:
        return (
            self.socket if info == "ssl_object" and isinstance(self.socket, ssl.SSLSocket) else None
        )


@contextmanager
def _named(late: type[Exception], broken: type[Exception]) -> Generator[None]:
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise broken(str(error)) from error
