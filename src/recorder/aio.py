"""The recorder for asyncio services: never blocks the event loop, and never stores an event in part when cancelled."""

import asyncio
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, LiteralString, Union

from recorder.best_effort import log_not_recorded
from recorder.gathering.shared_writes import SharedWrites
from recorder.recorder import Recorder, record_span
from recorder.tracebacks import forget_locals
from telemetry import EventParameters, NewEvent
from telemetry_runtime.forks import Forkable
from telemetry_store.ports import BuiltEvent

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

AsyncCallersConnection = Union["AsyncConnection", "AsyncSession"]
"""An asyncio connection or session that is in the caller's transaction."""


class AsyncRecorder(Forkable):
    """Records like `Recorder`, from coroutines.

    Events are checked where `record` is called, and written by a small thread pool. While all threads are busy, new
    events are collected and then written together. Cancelling a waiting caller does not stop the write: the event is
    stored, or the failure is logged.

    Args:
        recorder: The strict recorder that stores the events.
        threads: The most writes at the same time.
    """

    def __init__(self, recorder: Recorder, *, threads: int = 4) -> None:
        super().__init__()
        self._recorder = recorder
        self._threads = threads
        self._begin()

    def after_fork_in_child(self) -> None:
        """Start with a new thread pool: the parent's would wait forever for threads that a fork does not copy."""
        self._begin()

    def _begin(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="telemetry-recorder")
        self._writes = SharedWrites(self._recorder.write, _report_failure, self._pool, writers=self._threads)

    async def record(
        self,
        feature: LiteralString,
        action: LiteralString,
        parameters: EventParameters | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the wire contract's word
        timestamp: datetime | None = None,
        connection: AsyncCallersConnection | None = None,
        without_event_logs: bool = False,
    ) -> str:
        """Store one event and return its id. Args and errors as for `Recorder.record`."""
        event = NewEvent(feature, action, parameters, id, timestamp)
        return await self.record_event(event, connection=connection, without_event_logs=without_event_logs)

    async def record_event(
        self, event: NewEvent, *, connection: AsyncCallersConnection | None = None, without_event_logs: bool = False
    ) -> str:
        """Store one event that was built before and return its id. Args and errors as for `Recorder.record`."""
        ids = await self.batch_record([event], connection=connection, without_event_logs=without_event_logs)
        return ids[0]

    async def batch_record(
        self,
        events: Iterable[NewEvent],
        *,
        connection: AsyncCallersConnection | None = None,
        without_event_logs: bool = False,
    ) -> list[str]:
        """Store many events, all or none, and return their ids in order."""
        built: Sequence[BuiltEvent] = ()
        try:
            built = self.build(events, without_event_logs=without_event_logs)
            if connection is not None:
                await connection.run_sync(lambda joined: self._recorder.store(built, connection=joined))
            else:
                await self.store(built)
        except Exception as error:
            built, events = (), ()  # SECURITY: a traceback shows the local variables of this call, too
            forget_locals(error)
            raise
        return [each.event.id for each in built]

    def build(self, events: Iterable[NewEvent], *, without_event_logs: bool = False) -> list[BuiltEvent]:
        """Check events and return them complete, without storing them: see `Recorder.build`."""
        return self._recorder.build(events, without_event_logs=without_event_logs)

    async def store(self, events: Sequence[BuiltEvent]) -> None:
        """Store events that `build` made, all or none: see `Recorder.store`."""
        # The span belongs to one caller; the write may serve many.
        with record_span(events):
            await self._writes.submit(events)

    async def check(self) -> None:
        """Check that events can be recorded now, for a readiness probe: see `Recorder.check`."""
        # Not in the recorder's own thread pool, whose threads may all be waiting for the database.
        await asyncio.to_thread(self._recorder.check)

    async def close(self) -> None:
        """Wait for pending writes, then close the recorder's own connections."""
        await asyncio.to_thread(self._pool.shutdown)
        self._recorder.close()


def _report_failure(events: Sequence[BuiltEvent], error: Exception) -> None:
    for event, _ in events:
        log_not_recorded(event.feature, event.action, event.parameters.version, error)
