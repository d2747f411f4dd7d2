"""A server on real sockets that responds late, incorrectly or not at all."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Answer = Callable[[socket.socket, threading.Event], None]
"""Responds on a connection after the request was read; returns early when the event is set."""


def status(code: int, *headers: str) -> Answer:
    """Respond with a status and an empty body."""
    head = "\r\n".join([f"HTTP/1.1 {code} Reason", *headers, "Content-Length: 0", "", ""])
    return lambda connection, _: connection.sendall(head.encode())


def text(*parts: bytes) -> Answer:
    """Respond with these bytes."""

    def answer(connection: socket.socket, _: threading.Event) -> None:
        for part in parts:
            connection.sendall(part)

    return answer


def hang(connection: socket.socket, stopping: threading.Event) -> None:
    """Never respond."""
    stopping.wait()


def drip(connection: socket.socket, stopping: threading.Event) -> None:
    """Send one letter after another, forever."""
    for letter in "HTTP/1.1 " + "2" * 100_000:
        connection.sendall(letter.encode())
        if stopping.wait(0.02):
            return


def reset(connection: socket.socket, _: threading.Event) -> None:
    """Reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class AwkwardServer:
    """Accepts connections one after another.

    Attributes:
        address: `host:port`.
        requests: The received requests.
    """

    def __init__(self, answers: Sequence[Answer], tls: ssl.SSLContext | None = None) -> None:
        self._answers = list(answers)
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = threading.Event()
        self.address = "{}:{}".format(*self._listener.getsockname())
        self.requests: list[bytes] = []
        self._received = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def wait_for(self, requests: int) -> None:
        """Wait until this number of requests was received."""
        with self._received:
            assert self._received.wait_for(lambda: len(self.requests) >= requests, 30), self.requests

    def close(self) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(30)

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # The last response is used for all later connections.
            answer = self._answers[min(number, len(self._answers) - 1)]
            number += 1
            self._start(lambda connection=connection, answer=answer: self._serve(connection, answer))  # type: ignore[misc]

    def _serve(self, connection: socket.socket, answer: Answer) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            stream = connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
            with stream:
                request = read_request(stream)
                with self._received:
                    self.requests.append(request)
                    self._received.notify_all()
                answer(stream, self._stopping)


def read_request(connection: socket.socket) -> bytes:
    """Read one request including its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        if not received:
            return data
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def awkward_server(*answers: Answer, tls: ssl.SSLContext | None = None) -> Iterator[AwkwardServer]:
    """Run a server that gives one of these responses per connection, and the last one for all later connections."""
    server = AwkwardServer(answers, tls)
    try:
        yield server
    finally:
        server.close()
