"""One export pass: lease, redact, chunk, send and mark events, until none in the queue is due."""

import threading
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from export.chunks import ChunkMaker
from export.delivery import Courier
from export.errors import FailureKind, GatewayError
from export.gateway_client import Gateway
from export.lease_in_hand import LeaseInHand
from export.leasing import LeasesAhead
from export.metrics import ExportMetrics
from export.parts import Parts
from export.pass_settings import PassSettings
from telemetry import ExportPolicy, Redactor
from telemetry.event import IdFactory, new_event_id
from telemetry.logger import get_logger
from telemetry.tracing import span
from telemetry_store.errors import RecorderError
from telemetry_store.export_queue import ExportQueue, Lease, LeasedEvent
from telemetry_store.export_runs import ExportRuns
from telemetry_store.pass_report import PassOutcome, PassReport

# Streams of one lease that may fail before an event is acknowledged: enough to halve the largest lease down to single
# events several times. If the gateway accepts some events, the search goes on to the end.
_MAX_FRUITLESS_STREAMS: Final = 64
_log = get_logger(__name__)


class Exporter:
    """An exporter of the events that are due. Any number may share one queue, in one process or many.

    Args:
        queue: The queue of events.
        gateway: The gateway to send them to.
        load_redactor: Called at the start of each pass; its redactor is applied to each event
            immediately before it is sent. A `ValueError` from it ends the pass with nothing sent.
        load_policy: Called at the start of each pass and before each lease; its policy decides whether anything, and
            which features, may be exported now. A `ValueError` from it ends the pass with nothing more sent.
        settings: The settings of a pass.
        metrics: The Prometheus metrics.
        runs: Where the report of each pass is stored for operators; None: nowhere.
        id_factory: Makes request ids.
        random: Randomizes the pauses.
    """

    def __init__(
        self,
        queue: ExportQueue,
        gateway: Gateway,
        *,
        load_redactor: Callable[[], Redactor],
        load_policy: Callable[[], ExportPolicy],
        settings: PassSettings,
        metrics: ExportMetrics,
        runs: ExportRuns | None = None,
        id_factory: IdFactory = new_event_id,
        random: Random | None = None,
    ) -> None:
        self._queue = queue
        self._load_redactor = load_redactor
        self._load_policy = load_policy
        self._settings = settings
        self._metrics = metrics
        self._runs = runs
        self._clock = queue.clock  # the clock that leases end by
        self._id_factory = id_factory
        self._random = Random() if random is None else random  # noqa: S311 - jitter, not secrecy
        self._stopping = threading.Event()
        self._out_of_time = threading.Event()
        self._one_pass = threading.Lock()
        self._courier = Courier(gateway)

    def run_pass(self) -> PassReport:
        """Export until no event is due, the gateway stays unreachable, or `stop` is called.

        Failures of the gateway or the database do not raise: the report holds them.
        """
        with self._one_pass, span("telemetry export pass") as current:
            started_at, started = self._clock(), time.perf_counter()
            report = PassReport(request_id=self._id_factory(), started_at=started_at, last_at=started_at)
            # SECURITY: consent and export mode are checked before anything is read.
            if self._policy_now(report) is not None and (redactor := self._redactor_now(report)) is not None:
                try:
                    self._drain(redactor, report)
                    report.remaining = self._queue.counts().pending
                except RecorderError as error:
                    report.outcome, report.problem = PassOutcome.DATABASE, str(error)
            report.duration = time.perf_counter() - started
            self._observe(report)
            self._store(report)
            report.set_attributes_of(current)
            return report

    def stop(self) -> None:
        """End a running pass soon: take no new lease, and wait for sent events for a limited time. Return at once.

        May be called from another thread or a signal handler. The exporter cannot be used again.
        """
        self._stopping.set()
        self._courier.finish()
        timer = threading.Timer(self._settings.shutdown_timeout.total_seconds(), self._cancel_stream)
        timer.daemon = True
        timer.start()

    def _cancel_stream(self) -> None:
        self._out_of_time.set()
        self._courier.cancel()

    def _policy_now(self, report: PassReport) -> ExportPolicy | None:
        """Return the current policy; None, with the outcome in the report, if nothing may be exported."""
        try:
            # SECURITY: the current consent. If it cannot be read, it is not given.
            policy = self._load_policy()
        except ValueError as error:
            report.outcome, report.problem = PassOutcome.SETTINGS, str(error)
            return None
        if obstacle := policy.obstacle:
            report.outcome, report.problem = PassOutcome.OFF, obstacle
            return None
        return policy

    def _redactor_now(self, report: PassReport) -> Redactor | None:
        try:
            # SECURITY: the current allowlist. If it cannot be read, nothing is exported.
            return self._load_redactor()
        except ValueError as error:
            report.outcome, report.problem = PassOutcome.ALLOWLIST, str(error)
            return None

    def _chunk_maker(self, redactor: Redactor, policy: ExportPolicy) -> ChunkMaker:
        return ChunkMaker(
            self._queue.payloads, redactor=redactor, policy=policy, chunk_bytes=self._settings.chunk_bytes
        )

    def _lease_in_hand(self, lease: Lease, report: PassReport) -> LeaseInHand:
        return LeaseInHand(
            lease,
            self._queue,
            report,
            settings=self._settings,
            metrics=self._metrics,
            random=self._random,
            out_of_time=self._out_of_time,
        )

    def _drain(self, redactor: Redactor, report: PassReport) -> None:
        settings = self._settings
        with LeasesAhead(self._queue, settings.batch_size, settings.lease, stopping=self._stopping.is_set) as leases:
            outages = 0
            reauthenticated = False
            while not self._stopping.is_set():
                # SECURITY: checked again, because sending a backlog takes hours and consent may be withdrawn meanwhile.
                if (policy := self._policy_now(report)) is None:
                    return
                hand = self._lease_in_hand(leases.take(), report)
                if not hand.events:
                    return
                failure = self._send_lease(hand, self._chunk_maker(redactor, policy))
                outages = 0 if hand.acked else outages
                if failure is None:
                    continue
                report.problem = str(failure)
                if failure.token_refused and not reauthenticated:
                    reauthenticated = True  # the cached token was discarded; retry immediately with a new one, once
                    continue
                if failure.kind is FailureKind.REFUSED:
                    report.outcome = PassOutcome.REFUSED
                    return
                outages += 1
                if outages >= settings.outages_per_pass:
                    report.outcome = PassOutcome.OUTAGE
                    return
                _log.info("gateway away, backing off", request_id=report.request_id, code=failure.code, outages=outages)
                self._stopping.wait(self._backoff(outages))
            report.outcome = PassOutcome.STOPPED

    def _send_lease(self, hand: LeaseInHand, chunks: ChunkMaker) -> GatewayError | None:
        """Send the events of a lease; return a failure that is not the fault of an event."""
        try:
            return self._send_parts(hand, chunks)
        finally:
            hand.release_open()

    def _send_parts(self, hand: LeaseInHand, chunks: ChunkMaker) -> GatewayError | None:
        """Send events together, those that failed often alone, and split the streams that fail.

        If a stream fails for an unclear reason, its events are sent again in halves, down to single events.
        An event that fails alone is at fault only if the gateway accepted others meanwhile; else it is an outage.
        """
        parts = Parts(hand.events, alone_from=self._settings.attempts_before_alone, random=self._random)
        suspects: dict[str, tuple[LeasedEvent, GatewayError]] = {}
        failure: GatewayError | None = None
        fruitless = 0
        # After the end of the lease, another exporter may hold the events that are not sent.
        while parts and not self._stopping.is_set() and not hand.has_ended():
            part = parts.take()
            failure = self._send(hand, part, chunks)
            if failure is None:
                continue
            if failure.kind in (FailureKind.OUTAGE, FailureKind.REFUSED):
                return failure
            unanswered = hand.unsettled(part)
            if len(unanswered) > 1:
                parts.split(unanswered)
            elif unanswered and failure.kind is FailureKind.TOO_LARGE:
                hand.count_attempts(unanswered, f"too_large: {failure}")
            elif unanswered:
                suspects[unanswered[0].id] = (unanswered[0], failure)
                parts.move_on()
            fruitless += 1
            if not hand.acked and fruitless == _MAX_FRUITLESS_STREAMS:
                return failure
        if hand.acked:
            for event, cause in suspects.values():
                hand.count_attempts([event], f"gateway_error: {cause}")
            return None
        return next((cause for _, cause in suspects.values()), failure if parts else None)

    def _send(self, hand: LeaseInHand, part: Sequence[LeasedEvent], chunks: ChunkMaker) -> GatewayError | None:
        delivery = self._courier.send(hand.next_request_id(), [event.id for event in part], chunks, mark=hand.mark)
        hand.settle(delivery, part)
        if delivery.unreadable is not None:
            raise delivery.unreadable
        return delivery.failure

    def _backoff(self, outages: int) -> float:
        first, longest = self._settings.backoff
        return self._random.uniform(0, min(longest, first * 2 ** (outages - 1)).total_seconds())

    def _store(self, report: PassReport) -> None:
        """Store the report for operators; failing to store it does not fail the pass."""
        if self._runs is None or (report.outcome is PassOutcome.DATABASE and self._stopping.is_set()):
            return  # stopping does not wait for an unreachable database again
        try:
            report.last_at = self._clock()
            self._runs.add(report)
        except RecorderError as error:
            _log.warning("export pass not noted", request_id=report.request_id, error=str(error))

    def _observe(self, report: PassReport) -> None:
        self._metrics.passes.labels(report.outcome).inc()
        self._metrics.duration.observe(report.duration)
        if report.outcome is PassOutcome.DRAINED:
            self._metrics.last_success.set(self._clock().timestamp())
        facts = {**report.facts(), "duration": round(report.duration, 3)}
        if report.is_well:
            _log.info("export pass", **facts)
        else:
            _log.warning("export pass", **facts)
