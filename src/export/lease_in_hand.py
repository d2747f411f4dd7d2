"""The lease that is being sent: the outcomes of its events, and their numbers in the report of the pass."""

import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Final

from export.delivery import Delivery
from export.metrics import ExportMetrics
from export.pass_settings import PassSettings
from telemetry.logger import get_logger
from telemetry_store.errors import RecorderError
from telemetry_store.export_queue import ExportQueue, Lease, LeasedEvent
from telemetry_store.pass_report import PassReport

_FIRST_MARK_RETRY_SECONDS: Final = 0.05
_LONGEST_MARK_RETRY_SECONDS: Final = 2.0
_LONGEST_RETRY_AFTER: Final = timedelta(hours=1)
_log = get_logger(__name__)


class LeaseInHand:
    """A lease whose outcomes are written to the queue and counted.

    Args:
        lease: The lease.
        queue: The queue of the lease.
        report: Counts the outcomes.
        settings: How often, and when, sending an event is retried.
        metrics: Counts the outcomes, for Prometheus.
        random: Randomizes the times of retries.
        out_of_time: Set when the process must not wait for the database any longer.

    Attributes:
        events: The lease's events, oldest first.
        acked: How many of them the gateway acknowledged.
    """

    def __init__(
        self,
        lease: Lease,
        queue: ExportQueue,
        report: PassReport,
        *,
        settings: PassSettings,
        metrics: ExportMetrics,
        random: Random,
        out_of_time: threading.Event,
    ) -> None:
        self.events = lease.events
        self.acked = 0
        self._lease = lease
        self._queue = queue
        self._report = report
        self._settings = settings
        self._metrics = metrics
        self._random = random
        self._out_of_time = out_of_time
        self._open = {event.id for event in lease.events}
        if lease.events:
            report.leased += len(lease.events)
            metrics.batch_size.observe(len(lease.events))

    def has_ended(self) -> bool:
        """Return whether the lease is over, so that another exporter may hold the events."""
        return self._queue.clock() >= self._lease.expires_at

    def unsettled(self, events: Iterable[LeasedEvent]) -> list[LeasedEvent]:
        """Return the events whose outcome is not settled."""
        return [event for event in events if event.id in self._open]

    def _settle_ids(self, ids: Iterable[str]) -> None:
        """Note that the outcome of events is settled for this lease."""
        self._open.difference_update(ids)

    def next_request_id(self) -> str:
        """Return the id of the stream to open next."""
        self._report.streams += 1
        return f"{self._report.request_id}-{self._report.streams}"

    def mark(self, ids: Sequence[str]) -> bool:
        """Mark acknowledged events; retry until the lease ends, because after that they may be sent again anyway."""
        pause = _FIRST_MARK_RETRY_SECONDS
        while True:
            try:
                self._queue.mark_exported(ids)
            except RecorderError as error:
                if self.has_ended() or self._out_of_time.wait(pause):
                    _log.error(
                        "acknowledged events not marked, they will be sent again", count=len(ids), error=str(error)
                    )
                    return False
                pause = min(_LONGEST_MARK_RETRY_SECONDS, pause * 2)
            else:
                return True

    def settle(self, delivery: Delivery, part: Sequence[LeasedEvent]) -> None:
        """Count the outcomes of a stream, and write those to the queue that it has not marked.

        Raises:
            RecorderError: The database failed.
        """
        self._count(delivery)
        self._settle_ids(delivery.exported)
        # Not released: they are due again when the lease ends. Sending them earlier would only send them twice.
        self._settle_ids(delivery.unmarked)
        if delivery.unexpected:
            _log.warning("gateway answered unknown or repeated ids", count=delivery.unexpected)
        outgoing = delivery.outgoing
        self._postpone(outgoing.held)
        rejections = {event_id: f"rejected: {reason}" for event_id, reason in delivery.rejected.items()}
        self._set_aside({**outgoing.unfit, **rejections})
        if delivery.failure is None:
            unacknowledged = [event for event in self.unsettled(part) if event.id in outgoing.sent]
            self.count_attempts(unacknowledged, "not_acknowledged: the gateway did not say why")

    def count_attempts(self, events: Sequence[LeasedEvent], reason: str) -> None:
        """Schedule events to be sent again later; make those that failed too often dead letters.

        Raises:
            RecorderError: The database failed.
        """
        by_attempts: dict[int, list[str]] = defaultdict(list)
        for event in events:
            by_attempts[event.attempts + 1].append(event.id)
        for attempts, ids in by_attempts.items():
            if attempts >= self._settings.attempts_before_dead:
                self._set_aside(dict.fromkeys(ids, reason))
            else:
                self._queue.fail(self._lease, ids, self._retry_at(attempts))
                self._settle_ids(ids)

    def release_open(self) -> None:
        """Release the events whose outcome is not settled, so that any exporter may lease them.

        Raises:
            RecorderError: The database failed.
        """
        if self._open:
            self._queue.release(self._lease, list(self._open))

    def _count(self, delivery: Delivery) -> None:
        outgoing = delivery.outgoing
        report = self._report
        report.sent += len(outgoing.sent)
        report.bytes += outgoing.bytes
        report.acked += len(delivery.exported)
        report.rejected += len(delivery.rejected)
        report.held += len(outgoing.held)
        self.acked += len(delivery.exported)
        self._metrics.bytes.inc(outgoing.bytes)
        self._metrics.exported.inc(len(delivery.exported))
        self._metrics.rejected.inc(len(delivery.rejected))

    def _set_aside(self, reasons: Mapping[str, str]) -> None:
        if not reasons:
            return
        dead = self._queue.set_aside(self._lease, reasons)
        self._settle_ids(reasons)
        self._report.dead += dead
        self._metrics.dead.inc(dead)

    def _postpone(self, ids: Sequence[str]) -> None:
        if ids:
            self._queue.postpone(self._lease, ids, self._queue.clock() + self._settings.held_for)
            self._settle_ids(ids)

    def _retry_at(self, attempts: int) -> datetime:
        longest = min(self._settings.retry_after * 2 ** (attempts - 1), _LONGEST_RETRY_AFTER).total_seconds()
        return self._queue.clock() + timedelta(seconds=self._random.uniform(longest / 2, longest))
