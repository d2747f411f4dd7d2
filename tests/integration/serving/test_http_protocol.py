"""What is no HTTP, and what comes behind a request that is."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from telemetry.asgi import Receive, Scope, Send
from telemetry_cli.http_protocol import forgiving_protocol


async def slow(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(0.2)  # what follows the request is read meanwhile
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture(params=[H11Protocol, HttpToolsProtocol], ids=["h11", "httptools"])
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    config = uvicorn.Config(
        slow, http=forgiving_protocol(request.param), lifespan="off", ws="none", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()
        server.should_exit = True
        thread.join(30)


def say(address: tuple[str, int], text: bytes) -> bytes:
    """Sends text, and returns all that comes back until the connection is closed."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(text)
        answer = b""
        while received := connection.recv(4096):
            answer += received
        return answer


REQUEST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize("behind", [b"}}", b"}}\r\n\r\n", b"\xc3\xbc"])
def test_a_request_is_answered_whatever_comes_behind_it(address: tuple[str, int], behind: bytes) -> None:
    answer = say(address, REQUEST + b"{}" + behind)
    assert answer.startswith(b"HTTP/1.1 204 ")
    assert answer.count(b"HTTP/1.1 204 ") == 1


def test_requests_one_behind_the_other_are_answered_before_garbage_is(address: tuple[str, int]) -> None:
    answer = say(address, (REQUEST + b"{}") * 3 + b"}}")
    assert answer.count(b"HTTP/1.1 204 ") == 3


@pytest.mark.parametrize("text", [b"no request at all\r\n\r\n", b"GET /gr\xc3\xbcn HTTP/1.1\r\nHost: h\r\n\r\n"])
def test_what_is_no_http_is_refused_without_a_word(address: tuple[str, int], text: bytes) -> None:
    head, _, body = say(address, text).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body == b""
