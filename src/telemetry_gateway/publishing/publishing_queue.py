"""Publish the batches of all streams in groups: each group needs one sync of the sink and one write of the window."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Final, TypeVar

from telemetry.logger import get_logger
from telemetry_gateway.errors import DeduplicationError, GatewayServiceError, SinkBrokenError, SinkError
from telemetry_gateway.metrics import GatewayMetrics
from telemetry_gateway.publishing.deduplication import DeduplicationWindow, Key
from telemetry_gateway.sinks.sink import Message, Sink

T = TypeVar("T")

_RECOVERED_AT_ONCE: Final = 10_000
_log = get_logger(__name__)


class PublishingQueue:
    """Collects batches of streams into the next group while the current group is written.

    All blocking work runs in one thread, so the sink and the window need no locks. Each stream has at most one batch
    in the queue, so the number of streams limits its length.

    Args:
        sink: Stores the messages.
        window: Remembers the published messages.
        metrics: The gateway's metrics.

    Attributes:
        broken: Set when the sink accepts no more messages.
    """

    def __init__(self, sink: Sink, window: DeduplicationWindow, metrics: GatewayMetrics) -> None:
        self._metrics = metrics
        self.broken = asyncio.Event()
        self._sink = sink
        self._window = window
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gateway-publish")
        self._waiting: list[tuple[Sequence[Message], asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._unremembered: dict[Key, None] = {}

    def recover(self) -> int:
        """Add the messages that were published after the window's last write; return their number.

        Needed after a crash. Blocking; call it before the first batch.

        Raises:
            GatewayServiceError: The sink or the window failed.
        """
        position = self._window.position()
        keys = iter(self._sink.published_since(position, self._window.begin))
        count = 0
        while some := list(islice(keys, _RECOVERED_AT_ONCE)):
            # The position is updated last, so recovery can be repeated after a crash in between.
            self._window.remember(some, position)
            count += len(some)
        self._window.remember((), self._sink.position)
        if count:
            _log.info("published messages recovered from the sink", count=count)
        return count

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish the messages, and return when the sink stores all of them durably, including duplicates.

        Raises:
            GatewayServiceError: The sink or the window failed; the client must send the messages again.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((messages, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_groups())
        await written

    async def close(self) -> None:
        """Write the waiting batches, then close the sink and the window."""
        if self._writer is not None:
            await self._writer
        await self._in_thread(self.abandon)
        self._thread.shutdown()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _write_groups(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            messages = [message for batch, _ in group for message in batch]
            error: GatewayServiceError | None = None
            try:
                with self._metrics.publishing.time():
                    await self._in_thread(partial(self._write, messages))
            except GatewayServiceError as failure:
                error = failure
                if isinstance(failure, SinkBrokenError):
                    self.broken.set()
                    self._metrics.sink_broken.set(1)
            except Exception as failure:  # noqa: BLE001 - a plug-in sink may raise anything
                # SECURITY: the text may quote a message, so only the class is reported.
                error = SinkError(f"the sink failed ({type(failure).__name__})")
            if error is not None:
                self._metrics.failures.inc()
                _log.error("not published, not acknowledged", count=len(messages), error=str(error))
            for _, written in group:
                if written.done():  # its stream was cancelled
                    continue
                if error is None:
                    written.set_result(None)
                else:
                    written.set_exception(error)

    def _write(self, messages: Sequence[Message]) -> None:
        if self._unremembered:
            self._remember(self._unremembered)
            self._unremembered = {}
        by_key: dict[Key, Message] = {}
        for message in messages:
            by_key.setdefault(message.key, message)
        for key in self._window.known(by_key):
            del by_key[key]
        self._metrics.duplicates.inc(len(messages) - len(by_key))
        if not by_key:
            return
        # In this order: a crash in between repeats messages. In the reverse order it would lose them.
        self._sink.publish(list(by_key.values()))
        self._metrics.published.inc(len(by_key))
        try:
            self._remember(by_key)
        except DeduplicationError as error:
            # The messages are durable, so they may be acknowledged. They are added to the window before the next group
            # is published, so that they are not repeated.
            self._unremembered = dict.fromkeys(by_key)
            _log.error("published messages not remembered yet", count=len(by_key), error=str(error))

    def _remember(self, keys: dict[Key, Message] | dict[Key, None]) -> None:
        self._window.remember(keys.keys(), self._sink.position)

    def abandon(self) -> None:
        """Close the sink and the window. Blocking; call it only while nothing is being published."""
        try:
            self._sink.close()
        finally:
            self._window.close()
