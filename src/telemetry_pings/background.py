"""Sends pings in the background, for callers that cannot wait, until they are sent if need be."""

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from telemetry_pings.delivery import Clock
from telemetry_pings.event_logger import EventLogger, Outcome

Sleep = Callable[[float], None]
"""Waits for some seconds."""


class BackgroundEventLogger:
    """Sends pings by a daemon thread, which is there while there is something to send.

    The end of the process waits for what was not tried yet, `exit_timeout` at most, and never for a retry. A forked
    child has a thread of its own; what waited in the parent is the parent's to send.

    Args:
        logger: Sends.
        capacity: The most pings that wait; further ones are dropped.
        exit_timeout: How many seconds the end of the process may wait.
        retry_interval: Seconds between attempts at a ping that did not arrive, until it does; None: one attempt. Pings
            behind it wait, too. `HOURLY` is usual.
        clock: Tells seconds from some point on.
        sleep: Waits for some seconds.
    """

    HOURLY = 3600.0

    def __init__(
        self,
        logger: EventLogger,
        *,
        capacity: int = 100,
        exit_timeout: float = 1.0,
        retry_interval: float | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._logger = logger
        self._capacity = capacity
        self._retry_interval = retry_interval
        self._clock = clock
        self._sleep = sleep
        self._lines: dict[int, _Line] = {}
        atexit.register(_flush_at_exit, weakref.ref(self), exit_timeout)

    def log_event(self, properties: Mapping[str, Any], *, once: bool = False) -> bool:
        """Takes one ping, to be sent soon, and returns whether it did.

        Args:
            properties: What JSON can hold; read now.
            once: As in `EventLogger.log_event`.
        """
        request = self._logger.prepare(properties, once=once)
        if request is None:
            return False
        if not self._line().put(request):
            self._logger.tell("too many pings wait, or Python ends")
            return False
        return True

    def flush(self, timeout: float) -> bool:
        """Waits until every ping was tried; returns whether that was in time."""
        return self._line().flush(timeout)

    def _line(self) -> "_Line":
        process = os.getpid()
        line = self._lines.get(process)
        if line is None:
            # One step, so that all threads of a forked child get the same.
            line = self._lines.setdefault(process, _Line(self._send, self._capacity, self._sleep))
        return line

    def _send(self, request: bytes, rest: Sleep) -> None:
        while True:
            started = self._clock()
            outcome = self._logger.deliver(request)
            if outcome is not Outcome.FAILED or self._retry_interval is None:
                return
            rest(max(0.0, started + self._retry_interval - self._clock()))


class _Line:
    """What one process has to send, in order, and the thread that does."""

    def __init__(self, send: Callable[[bytes, Sleep], None], capacity: int, sleep: Sleep) -> None:
        self._send = send
        self._capacity = capacity
        self._sleep = sleep
        self._changed = threading.Condition()
        self._waiting: deque[bytes] = deque()
        self._running = False
        self._resting = False

    def put(self, request: bytes) -> bool:
        with self._changed:
            if len(self._waiting) >= self._capacity:
                return False
            if not self._running:
                try:
                    threading.Thread(target=self._run, name="telemetry-pings", daemon=True).start()
                except RuntimeError:  # Python is ending
                    return False
                self._running = True
            self._waiting.append(request)
        return True

    def flush(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting or self._resting, timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._running = False
                    return
                request = self._waiting[0]
            self._send(request, self._rest)
            with self._changed:
                self._waiting.popleft()
                self._changed.notify_all()

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._resting = True
            self._changed.notify_all()
        self._sleep(seconds)
        with self._changed:
            self._resting = False


def _flush_at_exit(logger: "weakref.ref[BackgroundEventLogger]", timeout: float) -> None:
    alive = logger()
    if alive is not None:
        alive.flush(timeout)
