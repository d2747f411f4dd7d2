"""Lets the events of many coroutines ride in one write, without a thread for each.

What arrives while all writers are busy is written together by the first that becomes free. Alone, a caller waits for
nobody.
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
    """A caller who waits for the outcome."""

    items: Sequence[T]
    loop: asyncio.AbstractEventLoop
    outcome: "asyncio.Future[None]"


class SharedWrites(Generic[T]):
    """Writes for coroutines, of one loop or of many.

    Args:
        write: Writes items, all or none, or raises. Runs in the executor.
        report: Told of items that were not written, and why, when nobody waits for them any more.
        executor: Runs the writers.
        writers: How many write at the same time.
        most_items: So many at most are written together.
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
        """Writes a caller's items, all or none. A caller who is cancelled does not stop the write.

        Raises:
            Exception: What `write` raised for these items.
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
            # Cancelled between the moment that it was told and the moment that it would have heard of it.
            if caller.outcome.done() and not caller.outcome.cancelled():
                self._report_failures([(caller, caller.outcome.exception())])
            raise

    def _begin(self, caller: _Waiting[T]) -> None:
        try:
            self._executor.submit(self._write_what_waits)
        except RuntimeError:  # the executor was shut down; writers that it took before go on
            with self._lock:
                self._writing -= 1
                if caller not in self._waiting:
                    return  # one of them has taken this caller, too
                self._waiting.remove(caller)
            raise

    def _write_what_waits(self) -> None:
        while group := self._take():
            # Each loop is woken once, not once a caller.
            for loop, told in groupby(self._outcomes(group), key=lambda outcome: outcome[0].loop):
                self._tell(loop, list(told))

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
            (caller, error if caller is callers[0] else copy(error))  # an error that is shared has a traceback for each
            for callers, error in write_together_or_alone(self._write_for, group)
            for caller in callers
        ]

    def _write_for(self, callers: Sequence[_Waiting[T]]) -> None:
        self._write([item for caller in callers for item in caller.items])

    def _tell(self, loop: asyncio.AbstractEventLoop, outcomes: Sequence[tuple[_Waiting[T], Exception | None]]) -> None:
        try:
            loop.call_soon_threadsafe(self._settle, outcomes)
        except RuntimeError:  # the loop is closed: nobody waits in it any more
            self._report_failures(outcomes)

    def _settle(self, outcomes: Sequence[tuple[_Waiting[T], Exception | None]]) -> None:
        gone = []
        for caller, error in outcomes:
            if caller.outcome.done():
                gone.append((caller, error))
            elif error is None:
                caller.outcome.set_result(None)
            else:
                caller.outcome.set_exception(error)
        self._report_failures(gone)

    def _report_failures(self, outcomes: Sequence[tuple[_Waiting[T], BaseException | None]]) -> None:
        for caller, error in outcomes:
            if isinstance(error, Exception):
                self._report(caller.items, error)
