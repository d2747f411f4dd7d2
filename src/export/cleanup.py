"""Deletion of rows past their retention, in small transactions."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from export.metrics import ExportMetrics
from telemetry.event import Clock, now_utc
from telemetry.logger import get_logger
from telemetry_store.database import Database
from telemetry_store.event_logs import prune_event_logs
from telemetry_store.export_queue import ExportQueue
from telemetry_store.export_runs import ExportRuns

ROWS_PER_TRANSACTION: Final = 1_000
"""Small, so that recorders hardly wait for a cleanup."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """The numbers of rows that a cleanup deleted.

    Attributes:
        exported: Exported rows of the queue past their retention.
        event_logs: Rows of `event_logs` past their retention.
    """

    exported: int
    event_logs: int


class Cleanup:
    """The deletion of exported rows past their retention, and of old rows of `event_logs` if a retention is set.

    An unexported row or a dead letter is never deleted. Of the reports on export passes, the latest are kept.

    Args:
        database: The database of both tables.
        queue: The queue.
        exported_retention: How long exported rows are kept.
        event_logs_retention: How long `event_logs` keeps a row; None: forever.
        metrics: The Prometheus metrics.
        clock: Returns the current time.
    """

    def __init__(
        self,
        database: Database,
        queue: ExportQueue,
        *,
        exported_retention: timedelta,
        event_logs_retention: timedelta | None,
        metrics: ExportMetrics,
        clock: Clock = now_utc,
    ) -> None:
        self._database = database
        self._queue = queue
        self._exported_retention = exported_retention
        self._event_logs_retention = event_logs_retention
        self._metrics = metrics
        self._clock = clock
        self._stopping = threading.Event()

    def run(self) -> CleanupReport:
        """Delete the rows that are past their retention now.

        Raises:
            RecorderError: The database failed; rows deleted before that stay deleted.
        """
        now = self._clock()
        exported = self._prune(self._prune_exported, now - self._exported_retention)
        event_logs = 0
        if self._event_logs_retention is not None:
            event_logs = self._prune(self._prune_event_logs, now - self._event_logs_retention)
        ExportRuns(self._database).prune()
        _log.info("cleanup", exported=exported, event_logs=event_logs)
        return CleanupReport(exported, event_logs)

    def stop(self) -> None:
        """Stop a running cleanup after its current transaction."""
        self._stopping.set()

    def _prune_exported(self, before: datetime, limit: int) -> int:
        pruned = self._queue.prune_exported(before, limit)
        self._metrics.pruned.inc(pruned)
        return pruned

    def _prune_event_logs(self, before: datetime, limit: int) -> int:
        pruned = prune_event_logs(self._database, before, limit)
        self._metrics.event_logs_pruned.inc(pruned)
        return pruned

    def _prune(self, prune: Callable[[datetime, int], int], before: datetime) -> int:
        total = 0
        while not self._stopping.is_set():
            deleted = prune(before, ROWS_PER_TRANSACTION)
            total += deleted
            if deleted < ROWS_PER_TRANSACTION:
                break
        return total
