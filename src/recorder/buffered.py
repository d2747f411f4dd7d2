"""The best-effort recorder for callers that cannot wait for the database."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import LiteralString

from recorder.best_effort import log_failure, log_if_not_ready, log_not_recorded
from recorder.diversion import current_diversion
from recorder.gathering.flush_buffer import FlushBuffer
from recorder.recorder import Recorder
from telemetry import EventParameters, NewEvent
from telemetry_store.ports import BuiltEvent


class BufferedRecorder:
    """Records like `BestEffortRecorder`, but returns before the event is stored.

    An event is checked and built where `record` is called, in that context. A background thread stores it. The loss
    is bounded: a process that is killed loses the events that wait in the buffer. These are the events of one
    `flush_interval` while the database keeps up, and never more than `capacity`. When the process exits, the remaining
    events are stored, for at most `close_timeout`. Every loss is logged, except after a kill.

    To join the caller's transaction, or to know that an event is durable, use `Recorder`.

    Args:
        recorder: The strict recorder that stores the events.
        capacity: The most events that wait in the buffer; further ones are lost.
        flush_interval: How long an event waits for others.
        flush_events: This many waiting events are stored at once, without waiting longer.
        close_timeout: How long to store the remaining events when the process exits.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        capacity: int = 10_000,
        flush_interval: timedelta = timedelta(milliseconds=100),
        flush_events: int = 500,
        close_timeout: timedelta = timedelta(seconds=2),
    ) -> None:
        self._recorder = recorder
        self._buffer = FlushBuffer(
            recorder.store,
            _report,
            capacity=capacity,
            interval=flush_interval,
            flush_events=flush_events,
            close_timeout=close_timeout,
        )

    def record(
        self,
        feature: LiteralString,
        action: LiteralString,
        parameters: EventParameters | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the wire contract's word
        timestamp: datetime | None = None,
        without_event_logs: bool = False,
    ) -> str | None:
        """Buffer one event and return its id; log and return None if it is invalid or the buffer is full."""
        event = NewEvent(feature, action, parameters, id, timestamp)
        return self.record_event(event, without_event_logs=without_event_logs)

    def record_event(self, event: NewEvent, *, without_event_logs: bool = False) -> str | None:
        """Buffer one event that was built before and return its id; log and return None as `record` does."""
        ids = self.batch_record((event,), without_event_logs=without_event_logs)
        return ids[0] if ids else None

    def batch_record(self, events: Iterable[NewEvent], *, without_event_logs: bool = False) -> list[str] | None:
        """Buffer many events, all or none, and return their ids; otherwise log each event and return None."""
        given: list[NewEvent] = []
        try:
            given.extend(events)
            built = self._recorder.build(given, without_event_logs=without_event_logs)
            if current_diversion() is not None:
                # A diversion expects the events before this call returns.
                self._recorder.store(built)
                return [each.event.id for each in built]
        except Exception as error:  # noqa: BLE001 - no failure of telemetry may reach the caller
            for event in given:
                log_failure(event, error)
            return None
        if not self._buffer.put(built):
            return None
        return [each.event.id for each in built]

    def flush(self, timeout: timedelta = timedelta(seconds=5)) -> bool:
        """Wait until what was recorded so far is stored, or logged as lost; return False after the timeout."""
        return self._buffer.flush(timeout)

    def check(self) -> bool:
        """Return whether events can be stored now, for a readiness probe; log why not. Stores no event."""
        return log_if_not_ready(self._recorder)

    def close(self) -> None:
        """Store the remaining events, for at most `close_timeout`, and close the recorder's own connections."""
        self._buffer.close()
        self._recorder.close()


def _report(failed: BuiltEvent, error: Exception) -> None:
    event = failed.event
    log_not_recorded(event.feature, event.action, event.parameters.version, error)
