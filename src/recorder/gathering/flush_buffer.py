"""A bounded buffer of events that a thread stores in the background."""

import atexit
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from recorder.gathering.together_or_alone import affects_every_event, write_together_or_alone
from telemetry.logger import get_logger
from telemetry_runtime.forks import Forkable
from telemetry_store.errors import DuplicateEventError
from telemetry_store.ports import BuiltEvent

_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 30.0
_CLOSING_RETRY_SECONDS: Final = 0.1
_CLOSED: Final = "the recorder is closed"
_FULL: Final = "the buffer is full"
_OUT_OF_TIME: Final = "not stored before the process ended"
_log = get_logger(__name__)


class FlushBuffer(Forkable):
    """Keeps events until a background thread has stored them.

    The thread starts with the first event. While the database is unavailable it retries and the events wait. Events
    for which the buffer has no room are counted and logged as lost. A forked child starts with an empty buffer,
    because the parent stores what the buffer held.

    Args:
        store: Stores events, all or none, or raises.
        report: Called with an event that cannot be stored, and the error.
        capacity: The most events that wait in the buffer.
        interval: How long an event waits for others.
        flush_events: This many waiting events are stored at once, without waiting longer.
        close_timeout: How long `close`, and the exit of the process, wait for the remaining events.
    """

    def __init__(
        self,
        store: Callable[[Sequence[BuiltEvent]], None],
        report: Callable[[BuiltEvent, Exception], None],
        *,
        capacity: int,
        interval: timedelta,
        flush_events: int,
        close_timeout: timedelta,
    ) -> None:
        super().__init__()
        self._store = store
        self._report = report
        self._capacity = capacity
        self._interval = interval.total_seconds()
        self._flush_events = flush_events
        self._close_timeout = close_timeout.total_seconds()
        self._begin()

    def _begin(self) -> None:
        self._state = threading.Condition()
        self._filled = threading.Event()
        self._flush_now = threading.Event()
        self._closing = threading.Event()
        self._waiting: deque[BuiltEvent] = deque()
        self._being_stored = 0
        self._added = 0
        self._done = 0
        self._flush_until = 0
        self._lost: Counter[str] = Counter()
        self._thread: threading.Thread | None = None

    def put(self, events: Sequence[BuiltEvent]) -> bool:
        """Add events, all or none; return whether there was room."""
        with self._state:
            if self._closing.is_set():
                self._lost[_CLOSED] += len(events)
            else:
                held = len(self._waiting) + self._being_stored
                if held + len(events) <= self._capacity:
                    self._append(events, held)
                    return True
                self._lost[_FULL] += len(events)
        if self._closing.is_set():
            self._log_lost_events()  # the thread has ended
        return False

    def _append(self, events: Sequence[BuiltEvent], held: int) -> None:
        self._waiting.extend(events)
        self._added += len(events)
        if self._thread is None:
            self._start()
        if held == 0:
            self._filled.set()
        if held + len(events) >= self._flush_events:
            self._flush_now.set()

    def flush(self, timeout: timedelta) -> bool:
        """Wait until everything added so far is stored or reported; return False after the timeout."""
        with self._state:
            flush_until = self._flush_until = self._added
            self._flush_now.set()
            return self._state.wait_for(lambda: self._done >= flush_until, timeout.total_seconds())

    def close(self) -> None:
        """Accept no more events, store those that wait within the timeout, and log those that were not stored."""
        with self._state:
            self._closing.set()
            thread = self._thread
        self._filled.set()
        self._flush_now.set()
        if thread is not None:
            thread.join(self._close_timeout)
        with self._state:
            if left := len(self._waiting) + self._being_stored:
                self._lost[_OUT_OF_TIME] += left
            self._waiting.clear()
            self._being_stored = 0
        self._log_lost_events()
        atexit.unregister(self.close)
        if signals := sys.modules.get("celery.signals"):
            signals.worker_process_shutdown.disconnect(self._close_in_celery)

    def after_fork_in_child(self) -> None:
        """Start again with an empty buffer."""
        self._begin()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="telemetry-buffered-recorder", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        # Child processes of multiprocessing exit without running atexit.
        if processes := sys.modules.get("multiprocessing.util"):
            processes.Finalize(None, self.close, exitpriority=1)
        # Those of celery's prefork pool run neither, but send a signal.
        if signals := sys.modules.get("celery.signals"):
            signals.worker_process_shutdown.connect(self._close_in_celery, weak=False)

    def _close_in_celery(self, **_: object) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            self._filled.wait()
            with self._state:
                urgent = self._done < self._flush_until or len(self._waiting) >= self._flush_events
            if not urgent and not self._closing.is_set():
                self._flush_now.wait(self._interval)
            self._flush_now.clear()
            self._log_lost_events()
            batch = self._next_batch()
            if batch:
                self._store_with_retries(batch)
            elif self._closing.is_set():
                return

    def _next_batch(self) -> list[BuiltEvent]:
        """Remove the oldest events from the buffer, as many as fit into one transaction."""
        batch: list[BuiltEvent] = []
        with self._state:
            while self._waiting and len(batch) < self._flush_events:
                batch.append(self._waiting.popleft())
            self._being_stored = len(batch)
            if not batch:
                self._filled.clear()
        return batch

    def _store_with_retries(self, batch: Sequence[BuiltEvent]) -> None:
        """Store a batch, retrying for as long as the database is unavailable."""
        pause = _FIRST_RETRY_SECONDS
        retrying = False
        while outage := self._store_or_report(batch, retrying=retrying):
            batch, error = outage
            _log.warning("events wait to be stored", count=len(batch), error=str(error), retry_seconds=pause)
            if not self._wait_for_retry(pause):
                return
            retrying = True
            pause = min(_LONGEST_RETRY_SECONDS, pause * 2)

    def _store_or_report(
        self, batch: Sequence[BuiltEvent], *, retrying: bool
    ) -> tuple[Sequence[BuiltEvent], Exception] | None:
        """Store a batch and report each failed event; return the events that must be retried, and the error."""
        for events, error in write_together_or_alone(self._store, batch):
            if affects_every_event(error):
                return events, error
            # The earlier commit succeeded, but the connection broke before the reply: the event is stored already.
            hidden_commit = retrying and isinstance(error, DuplicateEventError)
            if error is not None and not hidden_commit:
                self._report(events[0], error)
            self._count_as_done(len(events))
        return None

    def _count_as_done(self, events: int) -> None:
        with self._state:
            self._being_stored = max(0, self._being_stored - events)  # 0 after `close` gave up on them
            self._done += events
            self._state.notify_all()

    def _wait_for_retry(self, seconds: float) -> bool:
        """Wait before a retry, briefly once `close` was called; return False if `close` has given up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._log_lost_events()
            ending = self._closing.wait(min(0.2, seconds))
            if ending:
                time.sleep(_CLOSING_RETRY_SECONDS)
                break
        with self._state:
            return self._being_stored > 0

    def _log_lost_events(self) -> None:
        with self._state:
            lost, self._lost = self._lost, Counter()
        for reason, count in lost.items():
            _log.error("events lost", count=count, reason=reason)
