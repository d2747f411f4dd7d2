"""Invalid HTTP, also behind a valid request."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from telemetry.web.asgi import Receive, Scope, Send
from telemetry_runtime.http.http_protocol import forgiving_protocol
from telemetry_runtime.http.limited_connections import limited_protocol
from telemetry_runtime.http.timed_http import timed_protocol

MAX_CONNECTIONS = 3


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(0.2)  # the bytes behind the request are read in the meantime
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(params=[H11Protocol, HttpToolsProtocol], ids=["h11", "httptools"])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(
        slow,
        http=timed_protocol(
            limited_protocol(forgiving_protocol(request.param), MAX_CONNECTIONS), timedelta(seconds=30)
        ),
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join(30)


def say(address: tuple[str, int], text: bytes) -> bytes:
    """Send text, and return all that is received until the connection is closed."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(text)
        answer = b""
        while received := connection.recv(4096):
            answer += received
        return answer


REQUEST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize("behind", [b"}}", b"}}\r\n\r\n", b"\xc3\xbc"])
def test_a_request_is_answered_before_invalid_bytes_behind_it(address: tuple[str, int], behind: bytes) -> None:
    answer = say(address, REQUEST + b"{}" + behind)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert answer.count(b"HTTP/1.1 204 ") == 1


def test_pipelined_requests_are_answered_before_invalid_bytes(address: tuple[str, int]) -> None:
    answer = say(address, (REQUEST + b"{}") * 3 + b"}}")
    assert answer.count(b"HTTP/1.1 204 ") == 3


@pytest.mark.parametrize("text", [b"not a request\r\n\r\n", b"GET /gr\xc3\xbcn HTTP/1.1\r\nHost: h\r\n\r\n"])
def test_invalid_http_is_rejected_with_an_empty_body(address: tuple[str, int], text: bytes) -> None:
    head, _, body = say(address, text).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body == b""


def test_the_size_of_a_head_is_limited(address: tuple[str, int]) -> None:
    header = b"X-Header: " + b"x" * 990 + b"\r\n"
    most = 64 * 1024  # more than the kernel buffers for a connection while the server is not running
    sent = 0
    with socket.create_connection(address, timeout=30) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n")
        while sent < most and not connection_ended(connection):
            connection.sendall(header)
            sent += 1
    assert sent < most


def connection_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(30)


def test_a_large_body_does_not_count_as_a_head(address: tuple[str, int]) -> None:
    body = b"x" * 300_000
    head = b"POST /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert say(address, head + body).startswith(b"HTTP/1.1 204 ")


def test_a_connection_over_the_limit_is_answered_503_with_an_empty_body(address: tuple[str, int]) -> None:
    with contextlib.ExitStack() as open_ones:
        connections = [
            open_ones.enter_context(socket.create_connection(address, timeout=30)) for _ in range(MAX_CONNECTIONS)
        ]
        head, _, body = say(address, REQUEST + b"{}").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert body == b""
        for connection in connections:
            connection.sendall(REQUEST + b"{}")
            assert connection.recv(4096).startswith(b"HTTP/1.1 204 ")
