"""The best-effort recorder for callers that cannot wait for the database either."""

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

    An event is checked and built where `record` is called, with that context, and stored by a thread in the
    background. What is lost is bounded: a process that is killed loses what waited, `flush_interval` worth of events
    as long as the database keeps up, `capacity` of them at most. At the end of the process the rest is stored, for
    `close_timeout` at most. Whatever is lost but for a kill is said in the log.

    To join a transaction of the caller's, or to know that an event is durable, use `Recorder`.

    Args:
        recorder: The strict recorder that does the work.
        capacity: The most events that wait; further ones are lost.
        flush_interval: How long an event waits for others.
        flush_events: So many are stored at once, without waiting longer.
        close_timeout: How long the end of the process waits for the rest.
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
        """Takes one event and returns its id; None, and a line in the log, where it breaks a rule or finds no room."""
        event = NewEvent(feature, action, parameters, id, timestamp)
        return self.record_event(event, without_event_logs=without_event_logs)

    def record_event(self, event: NewEvent, *, without_event_logs: bool = False) -> str | None:
        """Takes one event that was made beforehand and returns its id; None, and a line in the log, as `record`."""
        ids = self.batch_record((event,), without_event_logs=without_event_logs)
        return ids[0] if ids else None

    def batch_record(self, events: Iterable[NewEvent], *, without_event_logs: bool = False) -> list[str] | None:
        """Takes many events, all or none, and returns their ids; None, and a line an event, where it cannot."""
        given: list[NewEvent] = []
        try:
            given.extend(events)
            built = self._recorder.build(given, without_event_logs=without_event_logs)
            if current_diversion() is not None:
                # Who diverts events wants to see them when the call has returned.
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
        """Waits until what was recorded so far is stored, or is said to be lost; returns whether it was in time."""
        return self._buffer.flush(timeout)

    def check(self) -> bool:
        """Returns whether events can be stored now, for a readiness probe; logs why not. Records none."""
        return log_if_not_ready(self._recorder)

    def close(self) -> None:
        """Stores the rest, for `close_timeout` at most, and closes the recorder's own connections."""
        self._buffer.close()
        self._recorder.close()


def _report(failed: BuiltEvent, error: Exception) -> None:
    event = failed.event
    log_not_recorded(event.feature, event.action, event.parameters.version, error)
