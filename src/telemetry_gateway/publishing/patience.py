"""Timeouts for streams that send nothing or do not read responses, also while the gateway drains."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Final, TypeVar

from telemetry_gateway.errors import DrainingError, SilentStreamError

T = TypeVar("T")

_DRAINING_SECONDS: Final = 1.0


class Patience:
    """Waits for the messages of streams with a timeout, which is shorter while the gateway drains.

    Args:
        silence: The longest time between two messages, and for a client to read a response.
    """

    def __init__(self, silence: timedelta) -> None:
        self._seconds = silence.total_seconds()
        self._draining = False
        self._waiting: set[asyncio.Timeout] = set()

    async def next_message(self, messages: AsyncIterator[T]) -> T | None:
        """Return a stream's next message, or None if the client has ended the stream.

        Raises:
            SilentStreamError: No message arrived in time.
            DrainingError: No message arrived in time, and the gateway is stopping.
        """
        try:
            async with asyncio.timeout(self._seconds) as timeout:
                self._waiting.add(timeout)
                try:
                    return await anext(messages, None)
                finally:
                    self._waiting.discard(timeout)
        except TimeoutError:
            draining = self._draining
        if draining:
            raise DrainingError("the gateway is stopping; send the remaining events again later")
        raise SilentStreamError(f"no message arrived for {self._seconds:g} s")

    async def delivery(self, writing: Awaitable[None]) -> None:
        """Wait until a response is written to the connection.

        Raises:
            SilentStreamError: The client did not read its responses in time.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await writing
        except TimeoutError:
            raise SilentStreamError(f"responses were not read for {self._seconds:g} s") from None

    def drain(self) -> None:
        """End each stream that sends nothing for a second from now on."""
        self._draining = True
        self._seconds = min(self._seconds, _DRAINING_SECONDS)
        deadline = asyncio.get_running_loop().time() + self._seconds
        for timeout in self._waiting:
            timeout.reschedule(deadline)
