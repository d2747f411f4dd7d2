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
_LAST_RETRIES_SECONDS: Final = 0.1
_CLOSED: Final = "the recorder is closed"
_FULL: Final = "the buffer is full"
_OUT_OF_TIME: Final = "not stored before the process ended"
_log = get_logger(__name__)


class FlushBuffer(Forkable):
    """Keeps events until a thread of its own has stored them.

    The thread begins with the first event. While the database is away it tries again and again, and
    the events wait; those for which there is no room any more are counted and said to be lost. A forked child
    begins with an empty buffer: what was in it is the parent's.

    Args:
        store: Stores events, all or none, or raises.
        report: Told of an event that cannot be stored, and why.
        capacity: The most events that wait.
        interval: How long an event waits for others.
        flush_events: So many are stored at once, and without waiting longer.
        close_timeout: How long `close`, and the end of the process, wait for the rest.
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
        self._hurry = threading.Event()
        self._closing = threading.Event()
        self._waiting: deque[BuiltEvent] = deque()
        self._in_hand = 0
        self._put = 0
        self._done = 0
        self._wanted = 0
        self._lost: Counter[str] = Counter()
        self._thread: threading.Thread | None = None

    def put(self, events: Sequence[BuiltEvent]) -> bool:
        """Takes events, all or none; returns whether there was room."""
        with self._state:
            if self._closing.is_set():
                self._lost[_CLOSED] += len(events)
            else:
                held = len(self._waiting) + self._in_hand
                if held + len(events) <= self._capacity:
                    self._take_in(events, held)
                    return True
                self._lost[_FULL] += len(events)
        if self._closing.is_set():
            self._say_what_was_lost()  # the thread is gone
        return False

    def _take_in(self, events: Sequence[BuiltEvent], held: int) -> None:
        self._waiting.extend(events)
        self._put += len(events)
        if self._thread is None:
            self._start()
        if held == 0:
            self._filled.set()
        if held + len(events) >= self._flush_events:
            self._hurry.set()

    def flush(self, timeout: timedelta) -> bool:
        """Waits until everything that was put so far is stored or reported; returns whether it was in time."""
        with self._state:
            wanted = self._wanted = self._put
            self._hurry.set()
            return self._state.wait_for(lambda: self._done >= wanted, timeout.total_seconds())

    def close(self) -> None:
        """Takes no more events, stores what waits, within the bound, and says what was not."""
        with self._state:
            self._closing.set()
            thread = self._thread
        self._filled.set()
        self._hurry.set()
        if thread is not None:
            thread.join(self._close_timeout)
        with self._state:
            if left := len(self._waiting) + self._in_hand:
                self._lost[_OUT_OF_TIME] += left
            self._waiting.clear()
            self._in_hand = 0
        self._say_what_was_lost()
        atexit.unregister(self.close)
        if signals := sys.modules.get("celery.signals"):
            signals.worker_process_shutdown.disconnect(self._close_in_celery)

    def after_fork_in_child(self) -> None:
        """Begins anew, empty."""
        self._begin()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="telemetry-buffered-recorder", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        # Children of multiprocessing end without atexit.
        if processes := sys.modules.get("multiprocessing.util"):
            processes.Finalize(None, self.close, exitpriority=1)
        # Those of celery's prefork pool end without either, but say so.
        if signals := sys.modules.get("celery.signals"):
            signals.worker_process_shutdown.connect(self._close_in_celery, weak=False)

    def _close_in_celery(self, **_: object) -> None:
        self.close()

    def _run(self) -> None:
        while True:
            self._filled.wait()
            with self._state:
                urgent = self._done < self._wanted or len(self._waiting) >= self._flush_events
            if not urgent and not self._closing.is_set():
                self._hurry.wait(self._interval)
            self._hurry.clear()
            self._say_what_was_lost()
            batch = self._next_batch()
            if batch:
                self._store_in_the_end(batch)
            elif self._closing.is_set():
                return

    def _next_batch(self) -> list[BuiltEvent]:
        """Takes the oldest events off the buffer, as many as go into one transaction."""
        batch: list[BuiltEvent] = []
        with self._state:
            while self._waiting and len(batch) < self._flush_events:
                batch.append(self._waiting.popleft())
            self._in_hand = len(batch)
            if not batch:
                self._filled.clear()
        return batch

    def _store_in_the_end(self, batch: Sequence[BuiltEvent]) -> None:
        """Store a batch, however long the database is away."""
        pause = _FIRST_RETRY_SECONDS
        retrying = False
        while outage := self._store_or_report(batch, retrying=retrying):
            batch, error = outage
            _log.warning("events wait to be stored", count=len(batch), error=str(error), retry_seconds=pause)
            if not self._may_try_again(pause):
                return
            retrying = True
            pause = min(_LONGEST_RETRY_SECONDS, pause * 2)

    def _store_or_report(
        self, batch: Sequence[BuiltEvent], *, retrying: bool
    ) -> tuple[Sequence[BuiltEvent], Exception] | None:
        """Store a batch, report each event at fault; return the events that wait for the database, and why."""
        for events, error in write_together_or_alone(self._store, batch):
            if affects_every_event(error):
                return events, error
            # A connection that broke after the commit hid it: the event is there since then.
            hidden_commit = retrying and isinstance(error, DuplicateEventError)
            if error is not None and not hidden_commit:
                self._report(events[0], error)
            self._count_as_done(len(events))
        return None

    def _count_as_done(self, events: int) -> None:
        with self._state:
            self._in_hand = max(0, self._in_hand - events)  # 0 where `close` gave up on them
            self._done += events
            self._state.notify_all()

    def _may_try_again(self, seconds: float) -> bool:
        """Waits before another try, shortly when the process ends; returns whether `close` has not given up."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._say_what_was_lost()
            ending = self._closing.wait(min(0.2, seconds))
            if ending:
                time.sleep(_LAST_RETRIES_SECONDS)
                break
        with self._state:
            return self._in_hand > 0

    def _say_what_was_lost(self) -> None:
        with self._state:
            lost, self._lost = self._lost, Counter()
        for reason, count in lost.items():
            _log.error("events lost", count=count, reason=reason)
