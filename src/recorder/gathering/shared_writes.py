"""Writes the events of many coroutines together, without a thread for each.

Events that arrive while all writers are busy are written together by the first writer that becomes free. A single
caller does not wait for others.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from copy import copy
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeVar

from recorder.gathering.together_or_alone import write_together_or_alone

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    """A caller that waits for the outcome."""

    items: Sequence[T]
    loop: asyncio.AbstractEventLoop
    outcome: "asyncio.Future[None]"


class SharedWrites(Generic[T]):
    """Writes items for coroutines of one or more event loops.

    Args:
        write: Writes items, all or none, or raises. Runs in the executor.
        report: Called with items that were not written, and the error, when their caller no longer waits.
        executor: Runs the writers.
        writers: The most writes at the same time.
        most_items: The most items that are written together.
    """

    def __init__(
        self,
        write: Callable[[Sequence[T]], None],
        report: Callable[[Sequence[T], Exception], None],
        executor: Executor,
        *,
        writers: int,
        most_items: int = 500,
    ) -> None:
        self._write = write
        self._report = report
        self._executor = executor
        self._writers = writers
        self._most_items = most_items
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting[T]] = deque()
        self._writing = 0

    async def submit(self, items: Sequence[T]) -> None:
        """Write the items of one caller, all or none. Cancelling the caller does not stop the write.

        Raises:
            Exception: The error that `write` raised for these items.
        """
        loop = asyncio.get_running_loop()
        caller = _Waiting(items, loop, loop.create_future())
        with self._lock:
            self._waiting.append(caller)
            begin = self._writing < self._writers
            self._writing += begin
        if begin:
            self._begin(caller)
        try:
            await caller.outcome
        except asyncio.CancelledError:
            # Cancelled after the outcome was set, but before this coroutine resumed.
            if caller.outcome.done() and not caller.outcome.cancelled():
                self._report_failures([(caller, caller.outcome.exception())])
            raise

    def _begin(self, caller: _Waiting[T]) -> None:
        try:
            self._executor.submit(self._write_waiting)
        except RuntimeError:  # the executor was shut down; writers submitted before continue
            with self._lock:
                self._writing -= 1
                if caller not in self._waiting:
                    return  # one of them has taken over this caller, too
                self._waiting.remove(caller)
            raise

    def _write_waiting(self) -> None:
        while group := self._take():
            # Wake each loop once, not once for each caller.
            for loop, outcomes in groupby(self._outcomes(group), key=lambda outcome: outcome[0].loop):
                self._notify(loop, list(outcomes))

    def _take(self) -> list[_Waiting[T]]:
        group: list[_Waiting[T]] = []
        room = self._most_items
        with self._lock:
            while self._waiting and (not group or len(self._waiting[0].items) <= room):
                group.append(self._waiting.popleft())
                room -= len(group[-1].items)
            if not group:
                self._writing -= 1
        return group

    def _outcomes(self, group: Sequence[_Waiting[T]]) -> list[tuple[_Waiting[T], Exception | None]]:
        return [
            (caller, error if caller is callers[0] else copy(error))  # each caller needs a separate traceback
            for callers, error in write_together_or_alone(self._write_for, group)
            for caller in callers
        ]

    def _write_for(self, callers: Sequence[_Waiting[T]]) -> None:
        self._write([item for caller in callers for item in caller.items])

    def _notify(
        self, loop: asyncio.AbstractEventLoop, outcomes: Sequence[tuple[_Waiting[T], Exception | None]]
    ) -> None:
        try:
            loop.call_soon_threadsafe(self._settle, outcomes)
        except RuntimeError:  # the loop is closed: its callers no longer wait
            self._report_failures(outcomes)

    def _settle(self, outcomes: Sequence[tuple[_Waiting[T], Exception | None]]) -> None:
        cancelled = []
        for caller, error in outcomes:
            if caller.outcome.done():
                cancelled.append((caller, error))
            elif error is None:
                caller.outcome.set_result(None)
            else:
                caller.outcome.set_exception(error)
        self._report_failures(cancelled)

    def _report_failures(self, outcomes: Sequence[tuple[_Waiting[T], BaseException | None]]) -> None:
        for caller, error in outcomes:
            if isinstance(error, Exception):
                self._report(caller.items, error)
