"""Close connections whose next request line and headers do not arrive in time: uvicorn would wait forever."""

import asyncio
from datetime import timedelta
from typing import Any, Final

MAX_HEAD_BYTES: Final = 64 * 1024


def timed_protocol(protocol: type[asyncio.Protocol], head_timeout: timedelta) -> type[asyncio.Protocol]:
    """Return a subclass of a uvicorn protocol that limits the head of each request (the request line and headers).

    Between two requests, uvicorn's own shorter keep-alive timeout applies.

    Args:
        protocol: A uvicorn protocol.
        head_timeout: The longest time that a head may take.
    """
    return type("TimedProtocol", (_HeadBounds, protocol), {"head_seconds": head_timeout.total_seconds()})


class _HeadBounds(asyncio.Protocol):
    """The methods that override those of uvicorn's protocol."""

    head_seconds: float
    # Attributes of uvicorn's protocol; `cycle` is the most recent request and its response.
    cycle: Any
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        is_body = before is not None and before.more_body and not before.response_complete
        super().data_received(data)
        if self.cycle is not before:  # a head is complete
            self._cancel()
            self._head_bytes = 0
        elif not is_body:
            self._count_head(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        # SECURITY: httptools itself does not limit the size of headers.
        if self._head_bytes > MAX_HEAD_BYTES:
            self.transport.abort()
        elif self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._start()

    def _start(self) -> None:
        self._deadline = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
