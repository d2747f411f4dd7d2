"""Leases taken ahead while the current one is being sent, so that sending does not wait for the queue."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from types import TracebackType
from typing import Self

from telemetry_store.export_queue import ExportQueue, Lease


class LeasesAhead:
    """The leases of one pass. At most one is taken ahead; leaving the context releases it.

    Args:
        queue: The queue to lease from.
        limit: Events per lease.
        duration: How long a lease is held. It begins when the queue grants it, not when `take` is called.
        stopping: Returns whether to take no more leases.
    """

    def __init__(self, queue: ExportQueue, limit: int, duration: timedelta, *, stopping: Callable[[], bool]) -> None:
        self._queue = queue
        self._limit = limit
        self._duration = duration
        self._stopping = stopping
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="telemetry-leases")
        self._following: Future[Lease] | None = None

    def __enter__(self) -> Self:
        return self

    def take(self) -> Lease:
        """Return the next lease; an empty one if no event is due.

        Raises:
            RecorderError: The database failed.
        """
        following, self._following = self._following, None
        lease = self._lease() if following is None else following.result()
        # A lease that is not full has probably emptied the queue.
        if len(lease.events) == self._limit and not self._stopping():
            self._following = self._thread.submit(self._lease)
        return lease

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if self._following is not None and self._following.exception() is None:
            lease = self._following.result()
            self._queue.release(lease, [event.id for event in lease.events])

    def _lease(self) -> Lease:
        return self._queue.lease(self._limit, self._duration)
