"""Ends connections whose next request's head does not come, or does not end: uvicorn would wait for ever."""

import asyncio
from datetime import timedelta
from typing import Any, Final

MAX_HEAD_BYTES: Final = 64 * 1024


def timed_protocol(protocol: type[asyncio.Protocol], head_timeout: timedelta) -> type[asyncio.Protocol]:
    """Returns one of uvicorn's protocols with bounds for the head of each request, its line and headers.

    Between two requests uvicorn's own, shorter, time for connections that are kept alive holds.

    Args:
        protocol: uvicorn's.
        head_timeout: How long a head may take.
    """
    return type("TimedProtocol", (_HeadBounds, protocol), {"head_seconds": head_timeout.total_seconds()})


class _HeadBounds(asyncio.Protocol):
    """What is laid over uvicorn's protocol."""

    head_seconds: float
    # These are uvicorn's; `cycle` is the request that was begun last, and its answer.
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
        if self.cycle is not before:  # a head came to its end
            self._cancel()
            self._head_bytes = 0
        elif not is_body:
            self._count_head(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel()
        super().connection_lost(exc)

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        # SECURITY: httptools itself would keep headers without end.
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
