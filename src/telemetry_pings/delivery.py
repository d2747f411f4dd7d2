"""An HTTP request with one deadline for all of it: DNS lookup, connection, TLS and response.

`http.client` and libraries based on it have no such deadline: their timeouts restart with each byte that a slow server
sends. Only the status of the response matters, so nothing else is read.
"""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    import ssl

Style = Literal["json", "query"]
"""How properties are sent: as a JSON body, or as query parameters."""

Clock = Callable[[], float]
"""A monotonic clock, in seconds."""

LookUp = Callable[[str, int], "list[Any]"]
"""Returns the addresses of a host and port like `socket.getaddrinfo`, or raises OSError."""

MAX_BYTES: Final = 64 * 1024
"""Maximum size of a request. No collector accepts more, and no ping needs more."""

_PORTS: Final = {"http": 80, "https": 443}
_PRINTABLE: Final = re.compile(r"[!-~]+")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)\b")
# Interim responses before the final one, such as 103 Early Hints.
_INFORMATIONAL: Final = re.compile(rb"\A(?:HTTP/1\.[01] 1\d\d\b.*?\r\n\r\n)+", re.DOTALL)
_LONGEST_ANSWER: Final = 16 * 1024


def system_look_up(host: str, port: int) -> "list[Any]":
    """Look up a host with the system's resolver."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class InvalidEndpointError(ValueError):
    """The endpoint is not a valid URL for pings."""


class Deadline:
    """A point in time after which waiting ends.

    Args:
        seconds: Seconds until the deadline.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def remaining(self) -> float:
        """Return the remaining seconds.

        Raises:
            TimeoutError: The deadline has passed.
        """
        remaining = self._at - self._clock()
        if remaining <= 0:
            raise TimeoutError("timed out")
        return remaining


class Endpoint:
    """The URL that pings are sent to.

    Args:
        url: `http://` or `https://`; a trailing `/` is removed.
        look_up: Looks up the host; may block.

    Raises:
        InvalidEndpointError: The URL is invalid, or contains a user name or non-printable characters.
    """

    def __init__(self, url: str, *, look_up: LookUp = system_look_up) -> None:
        if not isinstance(url, str) or _PRINTABLE.fullmatch(url) is None:
            raise InvalidEndpointError("the endpoint must be a URL of printable ASCII characters")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), -1
        if parts.scheme not in _PORTS or not parts.hostname or port in (-1, 0) or parts.username is not None:
            raise InvalidEndpointError("the endpoint must be http://host/path or https://host/path")
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = port or _PORTS[parts.scheme]
        self._netloc = parts.netloc
        self._path = parts.path.rstrip("/") or "/"
        self._query = parts.query
        self._look_up = look_up
        self._ssl_context: ssl.SSLContext | None = None

    def request(self, properties: Mapping[str, Any], style: Style) -> bytes:
        """Return the bytes of a request.

        Raises:
            TypeError: The properties are not JSON-serialisable.
            ValueError: The properties contain NaN or infinity, or the request is too large.
        """
        query, body = self._query, b""
        if style == "json":
            body = json.dumps(dict(properties), allow_nan=False).encode()
        else:
            given = urlencode({name: _as_text(value) for name, value in properties.items()})
            query = "&".join(part for part in (query, given) if part)
        head = [
            f"POST {self._path}{'?' if query else ''}{query} HTTP/1.1",
            f"Host: {self._netloc}",
            "User-Agent: telemetry-pings",
            "Accept: */*",
            "Connection: close",
            f"Content-Length: {len(body)}",
            *(["Content-Type: application/json"] if style == "json" else []),
        ]
        request = "\r\n".join([*head, "", ""]).encode("ascii") + body
        if len(request) > MAX_BYTES:
            raise ValueError(f"the request has {len(request)} bytes, more than {MAX_BYTES}")
        return request

    def deliver(self, request: bytes, deadline: Deadline) -> int:
        """Send a request and return the status of the response. Redirects are not followed.

        Raises:
            OSError: The request failed, or the response was not received before the deadline.
        """
        with self._connect(deadline) as connection:
            _send(connection, request, deadline)
            return _read_status(connection, deadline)

    def _connect(self, deadline: Deadline) -> socket.socket:
        addresses = _addresses(self._look_up, self._host, self._port, deadline)
        for position, (family, kind, protocol, _, address) in enumerate(addresses):
            last = position == len(addresses) - 1
            connection = socket.socket(family, kind, protocol)
            try:
                # An address that does not respond must leave time for the next one.
                connection.settimeout(deadline.remaining() / (len(addresses) - position))
                connection.connect(address)
                connection.settimeout(deadline.remaining())
                return self._encrypt(connection) if self._tls else connection
            except BaseException as error:
                connection.close()
                if last or not isinstance(error, OSError):
                    raise
        raise OSError("the host has no address")

    def _encrypt(self, connection: socket.socket) -> socket.socket:
        import ssl  # noqa: PLC0415 - slow to import, and unused for plain HTTP

        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        return self._ssl_context.wrap_socket(connection, server_hostname=self._host)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False, separators=(",", ":"))


def _addresses(look_up: LookUp, host: str, port: int, deadline: Deadline) -> list[Any]:
    """Return a host's addresses. The system's lookup has no timeout, so it runs in a separate thread."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass  # not an IP address
    found: list[Any] = []
    failures: list[OSError | UnicodeError] = []
    done = threading.Event()

    def work() -> None:
        try:
            found.extend(look_up(host, port))
        except (OSError, UnicodeError) as error:
            failures.append(error)
        done.set()

    try:
        threading.Thread(target=work, name="telemetry-pings-dns", daemon=True).start()
    except RuntimeError as error:
        # Python is exiting and cannot start threads. Only a daemon thread may block: it does not delay the exit.
        if not threading.current_thread().daemon:
            raise OSError("cannot look up a host name while Python is exiting") from error
        work()
    if not done.wait(deadline.remaining()):
        raise TimeoutError("the lookup of the host name timed out")
    if failures:
        raise failures[0] if isinstance(failures[0], OSError) else OSError("the host name is invalid")
    return found


def _send(connection: socket.socket, request: bytes, deadline: Deadline) -> None:
    unsent = memoryview(request)
    while unsent:
        connection.settimeout(deadline.remaining())
        unsent = unsent[connection.send(unsent) :]


def _read_status(connection: socket.socket, deadline: Deadline) -> int:
    answer = b""
    while len(answer) < _LONGEST_ANSWER:
        connection.settimeout(deadline.remaining())
        received = connection.recv(4096)
        answer += received
        status = _final_status(answer)
        if status is not None:
            return status
        if not received:
            break
    raise OSError("the response is not valid HTTP")


def _final_status(answer: bytes) -> int | None:
    """Return the status of a response; None if it has not arrived yet."""
    answer = _INFORMATIONAL.sub(b"", answer, count=1)
    if b"\r\n" not in answer:
        return None
    status = _STATUS.match(answer)
    if status is None:
        raise OSError("the response is not valid HTTP")
    return None if status[1].startswith(b"1") else int(status[1])
