"""How long a stream may be silent or deaf, in ordinary times and while the gateway drains."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from typing import Final, TypeVar

from telemetry_gateway.errors import DrainingError, SilentStreamError

T = TypeVar("T")

_DRAINING_SECONDS: Final = 1.0


class Patience:
    """Waits for the messages of streams; while draining, only for those that keep coming.

    Args:
        silence: The longest time between two messages, and for a peer to take an answer.
    """

    def __init__(self, silence: timedelta) -> None:
        self._seconds = silence.total_seconds()
        self._draining = False
        self._waiting: set[asyncio.Timeout] = set()

    async def next_message(self, messages: AsyncIterator[T]) -> T | None:
        """Return a stream's next message; None when its sender has ended it.

        Raises:
            SilentStreamError: None came in time.
            DrainingError: None came, and the gateway is stopping.
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
            raise DrainingError("the gateway is stopping; send the rest to another one, or later")
        raise SilentStreamError(f"nothing was sent for {self._seconds:g} s")

    async def delivery(self, writing: Awaitable[None]) -> None:
        """Waits until a peer has room for an answer.

        Raises:
            SilentStreamError: It has not read its answers for too long.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await writing
        except TimeoutError:
            raise SilentStreamError(f"answers were not read for {self._seconds:g} s") from None

    def drain(self) -> None:
        """From now on, a stream that is silent for a second is over."""
        self._draining = True
        self._seconds = min(self._seconds, _DRAINING_SECONDS)
        deadline = asyncio.get_running_loop().time() + self._seconds
        for timeout in self._waiting:
            timeout.reschedule(deadline)
