"""Sends pings in a background thread, optionally with retries."""

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
"""Waits for a number of seconds."""


class BackgroundEventLogger:
    """Sends pings in a daemon thread, which runs while there are pings to send.

    At exit the process waits for pings that were not attempted yet, for at most `exit_timeout`, and never for a retry.
    A forked child starts its own thread; pings queued in the parent are sent by the parent.

    Args:
        logger: Sends the pings.
        capacity: Maximum number of queued pings; further ones are dropped.
        exit_timeout: How many seconds the process may wait at exit.
        retry_interval: Seconds between attempts to send a ping, until it arrives; None for a single attempt. Later
            pings wait meanwhile. `HOURLY` is common.
        clock: A monotonic clock, in seconds.
        sleep: Waits for a number of seconds.
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
        """Queue a ping and return whether it was queued.

        Args:
            properties: JSON-serialisable values, serialised by this call.
            once: As in `EventLogger.log_event`.
        """
        request = self._logger.prepare(properties, once=once)
        if request is None:
            return False
        if not self._line().put(request):
            self._logger.report("too many pings are queued, or Python is exiting")
            return False
        return True

    def flush(self, timeout: float) -> bool:
        """Wait until every queued ping was attempted; return False on timeout."""
        return self._line().flush(timeout)

    def _line(self) -> "_Line":
        process = os.getpid()
        line = self._lines.get(process)
        if line is None:
            # Atomic, so that all threads of a forked child get the same object.
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
    """The queue of a process, and the thread that sends it in order."""

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
                except RuntimeError:  # Python is exiting
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
