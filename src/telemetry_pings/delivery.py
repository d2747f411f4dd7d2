"""One HTTP request with one deadline for all of it: the look-up of the name, the connection, TLS, the answer.

Neither `http.client` nor the libraries on top of it can be given such a deadline: their timeouts begin anew with each
byte that a server drips. Of the answer only the status matters, so no more is read.
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
"""Where properties travel: in a JSON body, or as parameters of the query."""

Clock = Callable[[], float]
"""Returns seconds from some point on."""

LookUp = Callable[[str, int], "list[Any]"]
"""Returns the addresses of a host and port as `socket.getaddrinfo` does, or raises OSError."""

MAX_BYTES: Final = 64 * 1024
"""The largest request. No collector takes more, and no ping needs it."""

_PORTS: Final = {"http": 80, "https": 443}
_PRINTABLE: Final = re.compile(r"[!-~]+")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-9]\d\d)\b")
# Whole answers before the answer, such as 103 Early Hints.
_INFORMATIONAL: Final = re.compile(rb"\A(?:HTTP/1\.[01] 1\d\d\b.*?\r\n\r\n)+", re.DOTALL)
_LONGEST_ANSWER: Final = 16 * 1024


def system_look_up(host: str, port: int) -> "list[Any]":
    """Asks the system."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class InvalidEndpointError(ValueError):
    """The endpoint is no URL that can be pinged."""


class Deadline:
    """A point in time after which nothing is waited for.

    Args:
        seconds: How far away it is.
        clock: Tells seconds from some point on.
    """

    def __init__(self, seconds: float, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    def remaining(self) -> float:
        """Returns the seconds that are left.

        Raises:
            TimeoutError: None are.
        """
        left = self._at - self._clock()
        if left <= 0:
            raise TimeoutError("the time is over")
        return left


class Endpoint:
    """Where pings go.

    Args:
        url: `http://` or `https://`; a `/` at its end is left out.
        look_up: Finds the host; may take its time.

    Raises:
        InvalidEndpointError: It is none, or holds a user name, or what no request line can.
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
        """Returns a whole request.

        Raises:
            TypeError: The properties are nothing that JSON can hold.
            ValueError: They are, or are too many.
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
        """Sends a request and returns the status of its answer. A redirect is not followed.

        Raises:
            OSError: It did not arrive, or no answer came back before the deadline.
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
                # An address that swallows everything must leave time for the next one.
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
        import ssl  # noqa: PLC0415 - costs more than all the rest, and plain endpoints don't need it

        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        return self._ssl_context.wrap_socket(connection, server_hostname=self._host)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, allow_nan=False, separators=(",", ":"))


def _addresses(look_up: LookUp, host: str, port: int, deadline: Deadline) -> list[Any]:
    """Returns a host's addresses. The system's look-up knows no timeout, so a thread waits for it in our place."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass  # a name, or none
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
        # Python is ending, and starts no threads any more. A daemon thread holds nobody up; others may not wait.
        if not threading.current_thread().daemon:
            raise OSError("no name can be looked up while Python ends") from error
        work()
    if not done.wait(deadline.remaining()):
        raise TimeoutError("the host's name was not looked up in time")
    if failures:
        raise failures[0] if isinstance(failures[0], OSError) else OSError("the host's name is none")
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
    raise OSError("what came back is no HTTP answer")


def _final_status(answer: bytes) -> int | None:
    """Returns the status of an answer; None where it has not come yet."""
    answer = _INFORMATIONAL.sub(b"", answer, count=1)
    if b"\r\n" not in answer:
        return None
    status = _STATUS.match(answer)
    if status is None:
        raise OSError("what came back is no HTTP answer")
    return None if status[1].startswith(b"1") else int(status[1])
