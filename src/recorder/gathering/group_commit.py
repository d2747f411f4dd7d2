"""Group commit: writes the rows of many threads in one transaction, because a commit costs more than its rows.

If no write is in progress, a caller writes immediately, so a single thread pays nothing for the grouping. Callers that
arrive during a write wait. The first of them becomes the leader and writes for all of them.
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
    """A caller that waits for the outcome, or to become the leader."""

    __slots__ = ("done", "error", "is_leader", "rows", "turn")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.is_leader = False
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
        write: Writes rows in one transaction, all or none, or raises. Called by one thread at a time.
        most_rows: The most rows in one transaction, the leader's own included.
    """

    def __init__(self, write: Callable[[Sequence[Row]], None], *, most_rows: int = 500) -> None:
        super().__init__()
        self._write = write
        self._most_rows = most_rows
        self._lock = threading.Lock()
        self._has_leader = False
        self._waiting: deque[_Waiting[Row]] = deque()

    def submit(self, rows: Sequence[Row]) -> None:
        """Write the rows of one caller, all or none; they are committed when this returns.

        Raises:
            Exception: The error that `write` raised for these rows.
        """
        with self._lock:
            caller = _Waiting(rows) if self._has_leader else None
            if caller is not None:
                self._waiting.append(caller)
            self._has_leader = True
        if caller is not None and not self._wait_for_leadership(caller):
            if caller.error is not None:
                raise caller.error
            return
        try:
            self._write_group(rows)
        finally:
            self._pass_leadership()

    def after_fork_in_child(self) -> None:
        """Discard the state of the parent's threads, which do not run in the child."""
        self._lock = threading.Lock()
        self._has_leader = False
        self._waiting = deque()

    def _wait_for_leadership(self, caller: _Waiting[Row]) -> bool:
        """Wait for the outcome (return False), or to become the leader (return True)."""
        try:
            caller.turn.acquire()
        except BaseException:  # interrupted: other callers must not wait for this one
            with self._lock:
                if caller in self._waiting:
                    self._waiting.remove(caller)
            if caller.is_leader:
                self._pass_leadership()
            raise
        return caller.is_leader

    def _write_group(self, rows: Sequence[Row]) -> None:
        group = self._take(self._most_rows - len(rows))
        if not group:
            self._write(rows)
            return
        leader = _Waiting(rows)
        try:
            for callers, error in write_together_or_alone(self._write_for, [leader, *group]):
                for caller in callers:  # each caller needs a separate traceback
                    caller.finish(error if caller is callers[0] else copy(error))
        finally:
            # After an interruption, put back the callers without an outcome: the next leader writes their rows.
            with self._lock:
                self._waiting.extendleft(caller for caller in reversed(group) if not caller.done)
        if leader.error is not None:
            raise leader.error

    def _write_for(self, callers: Sequence[_Waiting[Row]]) -> None:
        self._write([row for caller in callers for row in caller.rows])

    def _take(self, most_rows: int) -> list[_Waiting[Row]]:
        """Remove callers from the queue, as many as the transaction has room for."""
        group: list[_Waiting[Row]] = []
        with self._lock:
            while self._waiting and len(self._waiting[0].rows) <= most_rows:
                group.append(self._waiting.popleft())
                most_rows -= len(group[-1].rows)
        return group

    def _pass_leadership(self) -> None:
        """Make the caller that has waited longest the leader, if any caller waits."""
        with self._lock:
            if not self._waiting:
                self._has_leader = False
                return
            successor = self._waiting.popleft()
            successor.is_leader = True
        successor.turn.release()
