"""Sends pings to an HTTP server, as fast as it responds or at a fixed rate, and prints the figures as JSON.

python http_load.py HOST:PORT CONNECTIONS REQUESTS [REQUESTS_A_SECOND]

Cheaper than what it measures: requests are made beforehand, and of an answer only the status is read.
"""

import asyncio
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Callable

TARGET = "/packages/java/hotspot/amd64/linux/{number}?channel=stable&version=1.4.{number}"
"""The last segment is the request's number, so that each row can be found again."""


class Load:
    def __init__(self, requests: int) -> None:
        self.waiting: deque[bytes] = deque(request(number) for number in range(requests))
        self.left = requests
        self.statuses: Counter[int] = Counter()
        self.seconds: list[float] = []
        self.idle: deque[Connection] = deque()
        self.done = asyncio.Event()

    def answered(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.seconds.append(seconds)
        self.left -= 1
        if not self.left:
            self.done.set()


class Connection(asyncio.Protocol):
    """Send requests one after the other."""

    def __init__(self, load: Load, next_request: Callable[["Connection"], None]) -> None:
        self._load = load
        self._next = next_request
        self._answer = b""
        self._sent_at = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next(self)

    def send(self, data: bytes) -> None:
        assert self._transport is not None
        self._sent_at = time.perf_counter()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        # All measured responses have an empty body.
        if self._answer.endswith(b"\r\n\r\n"):
            self._load.answered(int(self._answer[9:12]), time.perf_counter() - self._sent_at)
            self._answer = b""
            self._next(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._load.left:
            raise SystemExit(f"a connection broke: {exc}")


def request(number: int) -> bytes:
    return f"POST {TARGET.format(number=number)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def main(address: str, connections: int, requests: int, rate: float | None) -> dict[str, object]:
    load = Load(requests)

    def at_once(connection: Connection) -> None:
        if load.waiting:
            connection.send(load.waiting.popleft())

    host, port = address.split(":")
    loop = asyncio.get_running_loop()
    following = load.idle.append if rate else at_once
    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(load, following), host, int(port))
    missed = 0
    if rate:
        missed = await send_at(load, rate)
    await load.done.wait()
    took = time.perf_counter() - started
    ordered = sorted(load.seconds)
    return {
        "seconds": took,
        "statuses": dict(load.statuses),
        "median": ordered[len(ordered) // 2],
        "p99": ordered[int(len(ordered) * 0.99)],
        "worst": ordered[-1],
        "late": missed,
    }


async def send_at(load: Load, rate: float) -> int:
    """Send at a fixed rate, independently of the responses; return how many requests waited for a connection."""
    started, sent, missed = time.perf_counter(), 0, 0
    while load.waiting:
        due = min(int((time.perf_counter() - started) * rate) - sent, len(load.waiting))
        for _ in range(due):
            if not load.idle:
                missed += 1
                break
            load.idle.popleft().send(load.waiting.popleft())
            sent += 1
        await asyncio.sleep(0.001)
    return missed


if __name__ == "__main__":
    limit = float(sys.argv[4]) if len(sys.argv) > 4 else None
    print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), limit))))
