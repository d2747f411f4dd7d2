"""Lets the rows of many threads ride in one transaction, because a commit costs more than what is in it.

A caller that finds nobody writing writes at once: alone, it pays nothing for the others. Callers
that come meanwhile wait; the first of them then writes for all of them.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Generic, TypeVar

from recorder.gathering.together_or_alone import write_together_or_alone
from telemetry_runtime.forks import Forkable

Row = TypeVar("Row")


class _Waiting(Generic[Row]):
    """A caller who waits: for the outcome, or to lead."""

    __slots__ = ("done", "error", "leads", "rows", "turn")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.leads = False
        self.done = False
        self.error: Exception | None = None
        self.turn = threading.Lock()
        self.turn.acquire()

    def finish(self, error: Exception | None = None) -> None:
        self.error = error
        self.done = True
        self.turn.release()


class GroupCommit(Forkable, Generic[Row]):
    """Writes rows for callers in many threads.

    Args:
        write: Writes rows in one transaction, all or none, or raises. One call at a time.
        most_rows: So many rows at most ride in one transaction with the leader's own.
    """

    def __init__(self, write: Callable[[Sequence[Row]], None], *, most_rows: int = 500) -> None:
        super().__init__()
        self._write = write
        self._most_rows = most_rows
        self._lock = threading.Lock()
        self._led = False
        self._waiting: deque[_Waiting[Row]] = deque()

    def submit(self, rows: Sequence[Row]) -> None:
        """Writes a caller's rows, all or none; they are committed when this returns.

        Raises:
            Exception: What `write` raised for these rows.
        """
        with self._lock:
            caller = _Waiting(rows) if self._led else None
            if caller is not None:
                self._waiting.append(caller)
            self._led = True
        if caller is not None and not self._wait_to_lead(caller):
            if caller.error is not None:
                raise caller.error
            return
        try:
            self._lead(rows)
        finally:
            self._hand_over()

    def after_fork_in_child(self) -> None:
        """Forgets the parent's threads: none of them goes on here."""
        self._lock = threading.Lock()
        self._led = False
        self._waiting = deque()

    def _wait_to_lead(self, caller: _Waiting[Row]) -> bool:
        """Waits for the outcome (False) or for the lead (True)."""
        try:
            caller.turn.acquire()
        except BaseException:  # interrupted: nobody may go on waiting for this caller
            with self._lock:
                if caller in self._waiting:
                    self._waiting.remove(caller)
            if caller.leads:
                self._hand_over()
            raise
        return caller.leads

    def _lead(self, rows: Sequence[Row]) -> None:
        group = self._take(self._most_rows - len(rows))
        if not group:
            self._write(rows)
            return
        leader = _Waiting(rows)
        try:
            for callers, error in write_together_or_alone(self._write_for, [leader, *group]):
                for caller in callers:  # an error that is shared has a traceback for each
                    caller.finish(error if caller is callers[0] else copy(error))
        finally:
            # Empty, unless this thread was interrupted: then the others' rows are the next leader's.
            with self._lock:
                self._waiting.extendleft(caller for caller in reversed(group) if not caller.done)
        if leader.error is not None:
            raise leader.error

    def _write_for(self, callers: Sequence[_Waiting[Row]]) -> None:
        self._write([row for caller in callers for row in caller.rows])

    def _take(self, most_rows: int) -> list[_Waiting[Row]]:
        """Takes callers off the queue, as many as the transaction has room for."""
        group: list[_Waiting[Row]] = []
        with self._lock:
            while self._waiting and len(self._waiting[0].rows) <= most_rows:
                group.append(self._waiting.popleft())
                most_rows -= len(group[-1].rows)
        return group

    def _hand_over(self) -> None:
        """Makes the caller who has waited longest the leader; where nobody waits, there is none."""
        with self._lock:
            if not self._waiting:
                self._led = False
                return
            following = self._waiting.popleft()
            following.leads = True
        following.turn.release()
